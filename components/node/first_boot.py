"""A machine's first-boot configuration: cloud-init's NoCloud data. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address

from components.config import conventions
from components.config.platform import Identity
from components.config.settings import Node
from components.config.spec import UnderlaySpec
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


def first_boot(node: Node, underlay: UnderlaySpec, gateway: IPv4Address | None, identity: Identity) -> FirstBoot:
    """Host name, pinned SSH host key, root's authorized key, and the static address on the pinned interface name.

    ``gateway`` is None where the underlay is isolated.
    """
    user_data = "#cloud-config\n" + json.dumps(_user_data(node, underlay, identity), sort_keys=True)
    meta_data = {"instance-id": f"{node.key}-{digest(user_data)}", "local-hostname": node.key}
    return FirstBoot(
        user_data,
        json.dumps(meta_data, sort_keys=True),
        json.dumps(_network(node, underlay, gateway), sort_keys=True),
    )


def _user_data(node: Node, underlay: UnderlaySpec, identity: Identity) -> dict[str, object]:
    key = identity.host_keys[node.key]
    authorized = identity.client_public_key.read_text("utf-8").strip()
    return {
        "hostname": node.key,
        "fqdn": f"{node.key}.{underlay.domain}",
        "manage_etc_hosts": True,
        "disable_root": False,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {
            "ed25519_private": key.private.read_text("utf-8"),
            "ed25519_public": key.public.read_text("utf-8").strip(),
        },
        "users": [],
        "ssh_authorized_keys": [authorized],
    }


def _network(node: Node, underlay: UnderlaySpec, gateway: IPv4Address | None) -> dict[str, object]:
    interface: dict[str, object] = {
        "match": {"macaddress": node.mac},
        "set-name": conventions.NIC,
        "addresses": [f"{node.address}/{underlay.cidr.prefixlen}"],
        "mtu": underlay.mtu,
    }
    if gateway is not None:
        interface |= {"gateway4": str(gateway), "nameservers": {"addresses": [str(gateway)]}}
    return {"version": 2, "ethernets": {conventions.NIC: interface}}
