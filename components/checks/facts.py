"""What only the running lab knows and checks need: addresses, ports, network ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from components.checks import bulk
from components.node import scripts


class MissingFact(LookupError):
    """A check cannot be stated: what of the lab is unknown."""


@dataclass(frozen=True)
class Facts:
    """Plain data, as the stack's outputs or the nodes have it."""

    addresses: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Workload -> network -> address."""
    ports: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Workload -> ``80/tcp`` -> port of its node."""
    networks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Network -> ``id``, ``subnet``."""
    bulk_port: int = bulk.PORT
    """Where the listeners of this run listen; the port above it is taken too."""

    def address(self, workload: str, network: str) -> str:
        """Raises :class:`MissingFact`."""
        try:
            return self.addresses[workload][network]
        except KeyError:
            reason = "it does not run there, and no up has recorded one"
            raise MissingFact(f"{workload} has no address on {network}: {reason}") from None

    def network_id(self, network: str) -> str:
        """Raises :class:`MissingFact`."""
        return self._network(network)["id"]

    def prefix_length(self, network: str) -> int:
        """Raises :class:`MissingFact`."""
        return IPv4Network(self._network(network)["subnet"]).prefixlen

    def _network(self, network: str) -> Mapping[str, str]:
        try:
            return self.networks[network]
        except KeyError:
            raise MissingFact(f"no node knows the overlay {network}, and no up has recorded it") from None


_WORKLOAD = (
    '{"workload":{{json .Name}},"networks":{{json .NetworkSettings.Networks}},"ports":{{json .NetworkSettings.Ports}}}'
)
_NETWORK = '{"network":{{json .Name}},"id":{{json .Id}},"ipam":{{json .IPAM.Config}}}'


def facts_script(workloads: Iterable[str], networks: Iterable[str] = ()) -> str:
    """Shell that prints what a node knows of these, for :func:`parse_facts`. It never fails."""
    asked = [("container", _WORKLOAD, list(workloads)), ("network", _NETWORK, list(networks))]
    return scripts.render("facts", asked=[one for one in asked if one[2]])


def parse_facts(lines: Iterable[str]) -> Facts:
    """What nodes printed; lines of another form are passed over."""
    addresses: dict[str, dict[str, str]] = {}
    ports: dict[str, dict[str, int]] = {}
    networks: dict[str, dict[str, str]] = {}
    for line in lines:
        try:
            record = json.loads(line)
            if "workload" in record:
                name = record["workload"].lstrip("/")
                addresses[name] = _addresses(record["networks"] or {})
                if published := _ports(record["ports"] or {}):
                    ports[name] = published
            elif "network" in record:
                config = record["ipam"] or [{}]
                networks[record["network"]] = {"id": record["id"], "subnet": str(config[0].get("Subnet", ""))}
        except (ValueError, AttributeError, LookupError, TypeError, OverflowError, RecursionError):
            continue
    return Facts(addresses, ports, networks)


def _addresses(networks: dict[str, Any]) -> dict[str, str]:
    return {name: one["IPAddress"] for name, one in networks.items() if one.get("IPAddress")}


def _ports(ports: dict[str, Any]) -> dict[str, int]:
    bound = [(port, one) for port, bindings in ports.items() for one in bindings or []]
    return {port: int(one["HostPort"]) for port, one in bound if ":" not in one.get("HostIp", "")}
