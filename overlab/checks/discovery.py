"""What checks need to know of the running lab: from the nodes, now; from the stack's outputs where they are mute."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from components import checks
from components.config.settings import Settings
from overlab.stack.outputs import Outputs

END = "overlab-facts-end"
"""The line after which a node has told everything."""

_BY_ADDRESS = ("ping-ip", "dns", "tcp", "mtu", "isolation")

# $1 is the number of workloads; their names come first, then the overlays'. Nothing of it may fail the session.
SCRIPT = """\
n=$1; shift
i=0; workloads=
while [ "$i" -lt "$n" ]; do workloads="$workloads $1"; shift; i=$((i + 1)); done
workload='workload{{"\\t"}}{{.Name}}{{"\\t"}}{{json .NetworkSettings.Networks}}{{"\\t"}}{{json .NetworkSettings.Ports}}'
# shellcheck disable=SC2086 # names hold no blanks
[ -z "$workloads" ] || docker container inspect -f "$workload" $workloads 2>/dev/null
overlay='overlay{{"\\t"}}{{.Name}}{{"\\t"}}{{.Id}}{{"\\t"}}{{json .IPAM.Config}}'
[ $# = 0 ] || docker network inspect -f "$overlay" "$@" 2>/dev/null
"""


@dataclass
class DiscoveredFacts:
    """What one node told."""

    addresses: dict[str, dict[str, str]] = field(default_factory=dict)
    ports: dict[str, dict[str, int]] = field(default_factory=dict)
    networks: dict[str, dict[str, str]] = field(default_factory=dict)


def arguments(node: str, settings: Settings) -> list[str]:
    """The words after ``sh -c SCRIPT``: what the node is asked about."""
    placed = [name for name, where in settings.placement.items() if where == node]
    own = [name for name in placed if not settings.workloads[name].shares_network_of]
    return [str(len(own)), *own, *settings.networks]


def parse(lines: Iterable[str]) -> DiscoveredFacts:
    """Understand what a node told; lines of another form are passed over."""
    told = DiscoveredFacts()
    for line in lines:
        parts = line.rstrip("\n").split("\t")
        try:
            if parts[0] == "workload" and len(parts) == 4:
                _workload(told, parts[1].lstrip("/"), json.loads(parts[2]) or {}, json.loads(parts[3]) or {})
            elif parts[0] == "overlay" and len(parts) == 4:
                config = json.loads(parts[3]) or [{}]
                told.networks[parts[1]] = {"id": parts[2], "subnet": str(config[0].get("Subnet", ""))}
        except (ValueError, AttributeError, LookupError, TypeError):
            continue
    return told


def _workload(told: DiscoveredFacts, name: str, networks: dict[str, Any], ports: dict[str, Any]) -> None:
    told.addresses[name] = {overlay: one["IPAddress"] for overlay, one in networks.items() if one.get("IPAddress")}
    for port, bindings in ports.items():
        for binding in bindings or []:
            if ":" not in binding.get("HostIp", ""):
                told.ports.setdefault(name, {})[port] = int(binding["HostPort"])


def facts(settings: Settings, outputs: Outputs, told: Iterable[DiscoveredFacts]) -> tuple[checks.Facts, list[str]]:
    """Facts for the whole lab, and notes on what is no longer as the last ``up`` left it.

    Fixed addresses come from the settings, and ids from the outputs: what differs from them is for the checks to
    find. What the engines may choose anew (addresses, published ports) is as it is now.
    """
    every = list(told)
    networks = {name: dict(known) for one in every for name, known in one.networks.items()}
    networks |= {name: {"id": one["id"], "subnet": one["subnet"]} for name, one in outputs.networks.items()}
    recorded, now = outputs.addresses(), _merged(one.addresses for one in every)
    addresses: dict[str, dict[str, str]] = {}
    notes = []
    for name, spec in settings.workloads.items():
        if spec.shares_network_of:
            continue
        addresses[name] = {}
        for overlay, attachment in spec.networks.items():
            old, new = recorded.get(name, {}).get(overlay, ""), now.get(name, {}).get(overlay, "")
            if found := str(attachment.ipv4_address or "") or new or old:
                addresses[name][overlay] = found
            if old and new and old != new and attachment.ipv4_address is None:
                notes.append(f"{name} has {new} on {overlay} now; the last up saw {old} (overlab refresh records it)")
    for name, spec in settings.workloads.items():
        if spec.shares_network_of:
            addresses[name] = addresses[spec.shares_network_of]
    ports = {name: dict(one) for name, one in outputs.ports.items()} | _merged(one.ports for one in every)
    return checks.Facts(addresses=addresses, ports=ports, networks=networks), notes


def lacking(check: checks.Check, settings: Settings, facts: checks.Facts) -> str:
    """Why a check cannot even be stated: what of the lab is unknown. Empty where everything is known."""
    target = check.target.split("/", 1)[0]
    asked = {"interface": check.source}.get(check.kind, target if check.kind in _BY_ADDRESS else "")
    if asked and check.network not in facts.addresses.get(asked, {}):
        return f"{asked} has no address on {check.network}: it does not run there, and no up has recorded one"
    networks = {"network": [check.network], "interface": [check.network], "kv": list(settings.networks)}
    unknown = [name for name in networks.get(check.kind, []) if name not in facts.networks]
    return f"no node knows the overlay {', '.join(unknown)}, and no up has recorded it" if unknown else ""


def _merged(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {name: one for part in parts for name, one in part.items()}
