"""SSH keys of a node after a rotation."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from components.config import conventions
from components.config.platform import HostKey, RetiredSsh
from components.node import scripts


def installer(
    address: IPv4Address, client: tuple[Path, Path], host_key: HostKey, retired: RetiredSsh, *, limit_s: int
) -> str:
    """A script for the machine that runs the program: it installs the present keys over what a node may have.

    ``client``: its private and its public key. The script names their files, and holds no key.
    """
    private, public = client
    return scripts.render(
        "install-keys",
        # It runs again where a key has changed, although its file's name has not.
        generation=scripts.digest(public.read_text("utf-8"), host_key.public.read_text("utf-8")),
        address=address,
        port=conventions.SSH_PORT,
        client_keys=[private, *retired.client_keys],
        known_hosts=retired.known_hosts,
        authorized=public,
        host_key=host_key.private,
        host_key_public=host_key.public,
        limit_s=limit_s,
    )
