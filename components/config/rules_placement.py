"""Rules about where machines are: hypervisors, nodes placed on them, and the network that spans them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from components.config.draft import Draft
from components.config.partial import Unparsed, if_parsed
from components.config.problems import join_path
from components.config.rules_network import format_choices
from components.config.spec import NodeSpec


def check(draft: Draft) -> None:
    """Apply every rule; the problems are added to the draft."""
    for rule in _RULES:
        with if_parsed:
            rule(draft)


def place(draft: Draft, node: NodeSpec) -> str:
    """The name of the hypervisor that a node is on; empty where the lab has just one, without a name."""
    found = _names(draft)
    return node.hypervisor or (found[0] if len(found) == 1 else "")


def _names(draft: Draft) -> tuple[str, ...]:
    """Every name in ``platform.hypervisors``, also of those that could not be read."""
    raw_value = draft.raw_value("platform", "hypervisors")
    if not isinstance(raw_value, Mapping | None):
        raise Unparsed("hypervisors")
    return tuple(name for name in raw_value or () if isinstance(name, str))


def _bundled(draft: Draft) -> bool:
    platform = draft.platform
    return platform.kind == "bundled" or (platform.kind == "auto" and platform.uri is None and not _names(draft))


def _every_node_somewhere(draft: Draft) -> None:
    found = _names(draft)
    remedy = f"one of: {format_choices(found)}" if found else "name it in platform.hypervisors, with its uri"
    for key, node in draft.nodes.items():
        with if_parsed:
            path = join_path("nodes", key, "hypervisor")
            if node.hypervisor is None and len(found) > 1:
                draft.add_problem(path, None, "required where platform.hypervisors are several", remedy)
            elif node.hypervisor is not None and node.hypervisor not in found:
                draft.add_problem(path, node.hypervisor, "the name of one of platform.hypervisors", remedy)


def _one_network(draft: Draft) -> None:
    found, used = _names(draft), dict[str, None]()
    for node in draft.nodes.values():
        with if_parsed:
            used[place(draft, node)] = None
    apart = [name for name in found if name in used]
    if len(apart) > 1 and draft.underlay.bridge is None:
        rule = (
            f"required where machines are on several hypervisors ({format_choices(apart)}): a network that spans them"
        )
        draft.add_problem("underlay.bridge", None, rule, "name a bridge that is there on each of them, such as br0")


def _system(draft: Draft) -> None:
    if draft.platform.kind == "bundled" and _names(draft):
        rule = "only on a system platform; platform.kind is bundled, whose hypervisor is made for the lab"
        remedy = "leave platform.kind out, or take platform.hypervisors and each node's hypervisor away"
        draft.add_problem("platform.hypervisors", list(_names(draft)), rule, remedy)


def _named_once(draft: Draft) -> None:
    if draft.platform.uri is not None and _names(draft):
        rule = "not beside platform.hypervisors, which have each their own"
        draft.add_problem(
            "platform.uri", draft.platform.uri, rule, "remove it, or name it as one of platform.hypervisors"
        )


def _one_name_each(draft: Draft) -> None:
    readable = {}
    for name, spec in draft.platform.hypervisors.items():
        with if_parsed:
            readable[name] = spec.uri
    several = {uri for uri, count in Counter(readable.values()).items() if count > 1}
    owners: dict[str, str] = {}
    for name, uri in readable.items():
        owner = owners.setdefault(uri, name)
        if uri in several and owner != name:
            path = join_path("platform.hypervisors", name, "uri")
            draft.add_problem(path, uri, f"one name a hypervisor; {owner} is this one", "remove one of the two")


def _bridge_that_is_there(draft: Draft) -> None:
    if draft.underlay.bridge is not None and _bundled(draft):
        rule = "only on a system platform: the bundled one has no bridge but the lab's own"
        remedy = "leave it out, or name a hypervisor in platform.uri or platform.hypervisors"
        draft.add_problem("underlay.bridge", draft.underlay.bridge, rule, remedy)


def _way_out(draft: Draft) -> None:
    if draft.underlay.bridge is not None and draft.underlay.mode != "auto":
        rule = f"auto where underlay.bridge is set: what is behind {draft.underlay.bridge} decides on the way out"
        draft.add_problem("underlay.mode", draft.underlay.mode, rule, "leave out one of the two")


_RULES: tuple[Callable[[Draft], None], ...] = (
    _every_node_somewhere,
    _one_network,
    _system,
    _named_once,
    _one_name_each,
    _bridge_that_is_there,
    _way_out,
)
