"""Facts of the running lab for its checks: from the nodes, or from the stack's outputs where a node does not answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from components import checks
from components.config.settings import Settings
from overlab.stack.outputs import Outputs


def script(node: str, settings: Settings) -> str:
    """What is run on a node to learn its :class:`checks.Facts`."""
    placed = [name for name, where in settings.placement.items() if where == node]
    own = [name for name in placed if not settings.workloads[name].shares_network_of]
    return checks.facts_script(own, settings.networks)


def facts(settings: Settings, outputs: Outputs, discovered: Iterable[checks.Facts]) -> tuple[checks.Facts, list[str]]:
    """Facts for the whole lab, and notes on what is no longer as the last ``up`` left it.

    Fixed addresses come from the settings, and ids from the outputs: what differs from them is for the checks to
    find. What the engines may choose again (addresses, published ports) is as it is now.
    """
    nodes = list(discovered)
    recorded, now = outputs.addresses(), _merged(one.addresses for one in nodes)
    addresses: dict[str, dict[str, str]] = {}
    notes = []
    for name, spec in settings.workloads.items():
        if spec.shares_network_of:
            continue
        addresses[name] = {}
        for network, attachment in spec.networks.items():
            old, new = recorded.get(name, {}).get(network, ""), now.get(name, {}).get(network, "")
            if found := str(attachment.ipv4_address or "") or new or old:
                addresses[name][network] = found
            if old and new and old != new and attachment.ipv4_address is None:
                notes.append(f"{name} has {new} on {network} now; the last up saw {old} (overlab refresh records it)")
    for name, spec in settings.workloads.items():
        if spec.shares_network_of:
            addresses[name] = addresses[spec.shares_network_of]
    networks = _merged(one.networks for one in nodes)
    networks |= {name: {"id": one["id"], "subnet": one["subnet"]} for name, one in outputs.networks.items()}
    return checks.Facts(addresses, outputs.ports | _merged(one.ports for one in nodes), networks), notes


def _merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: one for part in parts for name, one in part.items()}
