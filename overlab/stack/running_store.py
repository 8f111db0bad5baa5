"""The store of the running lab: what of it an update cannot change, since the networks are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.config.problems import Problem, SettingsError, format_value, join_path
from components.config.stores import BACKENDS
from overlab.stack.state import CONTAINER

if TYPE_CHECKING:
    from components.config.settings import Settings
    from overlab.stack.state import State


def refuse_changed(state: State, settings: Settings) -> None:
    """Raise :class:`SettingsError` where the running store is of another kind, or has members that cannot change."""
    store = settings.store
    running = {
        one.logical_name: str(one.inputs.get("name"))
        for one in state.resources
        if one.type == CONTAINER and one.id and one.inputs.get("name") in BACKENDS
        if one.logical_name.endswith(f"-{one.inputs['name']}")
    }
    remedy = "take the lab down first: overlab down"
    if others := sorted(set(running.values()) - {store.kind}):
        rule = f"the running lab's: {others[0]}, which has its networks"
        problem = Problem(join_path("lab", "store", "kind"), format_value(store.kind), rule, remedy)
        raise SettingsError(settings.stack, [problem])
    nodes = sorted(name.removesuffix(f"-{store.kind}") for name in running)
    if nodes and not store.backend.agents and nodes != sorted(settings.store_nodes):
        rule = f"the running lab's servers, on {', '.join(nodes)}: the members of an {store.backend.title} cluster stay"
        problem = Problem(join_path("lab", "store", "servers"), format_value(store.servers), rule, remedy)
        raise SettingsError(settings.stack, [problem])
