"""The subnets that engines picked for networks of the running lab: only the stack's state knows them."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from components.config.problems import Problem, SettingsError, format_value, join_path

if TYPE_CHECKING:
    from components.config.settings import Settings
    from overlab.stack.stack import Stack

_NETWORK = "overlab:index:Network$docker:index/network:Network::"


def refuse_taken(stack: Stack, settings: Settings) -> None:
    """Raise :class:`SettingsError` where a stated subnet overlaps one that a network without a subnet has and keeps."""
    kept = {
        name: subnet
        for name, subnet in _of_running_lab(stack).items()
        if name in settings.networks and settings.networks[name].subnet is None
    }
    problems = [
        Problem(
            join_path("lab", "networks", name, "subnet"),
            format_value(str(network.subnet)),
            f"free in the running lab; {owner} has {taken}, which the engines picked for it",
            f"choose a subnet outside {taken}, or remove {owner} in an update of its own first",
        )
        for name, network in settings.networks.items()
        for owner, taken in kept.items()
        if network.subnet is not None and network.subnet.overlaps(taken)
    ]
    if problems:
        raise SettingsError(settings.stack, problems)


def _of_running_lab(stack: Stack) -> dict[str, IPv4Network]:
    """Network -> subnet, as the last update left them; none of an unreadable state."""
    try:
        latest: dict[str, Any] = json.loads(stack.state_file.read_text("utf-8"))["checkpoint"]["latest"] or {}
        networks = [one for one in latest.get("resources") or () if _NETWORK in one["urn"] and not one.get("delete")]
        configs = {one["urn"].rsplit("::", 1)[1]: (one.get("outputs") or {}).get("ipamConfigs") for one in networks}
        return {name: IPv4Network(config[0]["subnet"]) for name, config in configs.items() if config}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
