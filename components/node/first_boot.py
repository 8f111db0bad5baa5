"""A machine's first-boot data: cloud-init's NoCloud documents. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from components.config import conventions
from components.config.addressing import mac
from components.config.platform import HostKey
from components.node.scripts import digest


@dataclass(frozen=True)
class FirstBoot:
    """The three documents of a NoCloud seed (JSON, which is YAML). ``user_data`` holds the private host key."""

    user_data: str
    meta_data: str
    network_config: str

    @property
    def content_hash(self) -> str:
        """Changes with any of the documents."""
        return digest(self.user_data, self.meta_data, self.network_config)


def first_boot(
    hostname: str,
    *,
    domain: str,
    address: IPv4Interface,
    mtu: int,
    gateway: IPv4Address | None,
    host_key: HostKey,
    authorized_key: Path,
) -> FirstBoot:
    """Host name, pinned SSH host key, root's authorized key, and the static address on the pinned interface name.

    ``gateway`` is the router and name server; None: no egress.
    """
    user_data = "#cloud-config\n" + json.dumps(_user_data(hostname, domain, host_key, authorized_key), sort_keys=True)
    meta_data = {"instance-id": f"{hostname}-{digest(user_data)}", "local-hostname": hostname}
    return FirstBoot(
        user_data, json.dumps(meta_data, sort_keys=True), json.dumps(_network(address, mtu, gateway), sort_keys=True)
    )


def _user_data(hostname: str, domain: str, host_key: HostKey, authorized_key: Path) -> dict[str, object]:
    return {
        "hostname": hostname,
        "fqdn": f"{hostname}.{domain}",
        "manage_etc_hosts": True,
        "disable_root": False,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {
            "ed25519_private": host_key.private.read_text("utf-8"),
            "ed25519_public": host_key.public.read_text("utf-8").strip(),
        },
        "users": [],
        "ssh_authorized_keys": [authorized_key.read_text("utf-8").strip()],
    }


def _network(address: IPv4Interface, mtu: int, gateway: IPv4Address | None) -> dict[str, object]:
    interface: dict[str, object] = {
        "match": {"macaddress": mac(address.ip)},
        "set-name": conventions.NIC,
        "addresses": [str(address)],
        "mtu": mtu,
    }
    if gateway is not None:
        interface |= {"gateway4": str(gateway), "nameservers": {"addresses": [str(gateway)]}}
    return {"version": 2, "ethernets": {conventions.NIC: interface}}
