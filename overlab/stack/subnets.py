"""The subnets that engines picked for networks of the running lab: only the stack's state knows them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from components.config.problems import Problem, SettingsError, format_value, join_path
from overlab.stack.state import DOCKER_NETWORK

if TYPE_CHECKING:
    from components.config.settings import Settings
    from overlab.stack.state import State


def refuse_taken(state: State, settings: Settings) -> None:
    """Raise :class:`SettingsError` where a stated subnet overlaps one that a network without a subnet has and keeps."""
    kept = {
        one.logical_name: IPv4Network(one.subnet)
        for one in state.resources
        if one.type == DOCKER_NETWORK and one.subnet and not one.outdated
        if one.logical_name in settings.networks and settings.networks[one.logical_name].subnet is None
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
