"""Rules about where machines are: hypervisors, nodes placed on them, and the network that spans them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from components.config.draft import Draft
from components.config.partial import Unreadable, if_readable
from components.config.problems import joined
from components.config.rules_network import listed
from components.config.spec import NodeSpec


def check(draft: Draft) -> None:
    """Apply every rule; the problems are added to the draft."""
    for rule in _RULES:
        with if_readable:
            rule(draft)


def place(draft: Draft, node: NodeSpec) -> str:
    """The name of the hypervisor that a node is on; empty where the lab has just one, without a name."""
    found = _names(draft)
    return node.hypervisor or (found[0] if len(found) == 1 else "")


def _names(draft: Draft) -> tuple[str, ...]:
    """Every name in ``ground.hypervisors``, also of those that could not be read."""
    written = draft.written("ground", "hypervisors")
    if not isinstance(written, Mapping | None):
        raise Unreadable("hypervisors")
    return tuple(name for name in written or () if isinstance(name, str))


def _embedded(draft: Draft) -> bool:
    ground = draft.ground
    return ground.kind == "embedded" or (ground.kind == "auto" and ground.uri is None and not _names(draft))


def _every_node_somewhere(draft: Draft) -> None:
    found = _names(draft)
    remedy = f"one of: {listed(found)}" if found else "name it in ground.hypervisors, with its uri"
    for key, node in draft.nodes.items():
        with if_readable:
            path = joined("nodes", key, "hypervisor")
            if node.hypervisor is None and len(found) > 1:
                draft.refuse(path, None, "required where ground.hypervisors are several", remedy)
            elif node.hypervisor is not None and node.hypervisor not in found:
                draft.refuse(path, node.hypervisor, "the name of one of ground.hypervisors", remedy)


def _one_network(draft: Draft) -> None:
    found, used = _names(draft), dict[str, None]()
    for node in draft.nodes.values():
        with if_readable:
            used[place(draft, node)] = None
    apart = [name for name in found if name in used]
    if len(apart) > 1 and draft.network.bridge is None:
        rule = f"required where machines are on several hypervisors ({listed(apart)}): a network that spans them"
        draft.refuse("network.bridge", None, rule, "name a bridge that is there on each of them, such as br0")


def _native(draft: Draft) -> None:
    if draft.ground.kind == "embedded" and _names(draft):
        rule = "only on a native ground; ground.kind is embedded, whose hypervisor is made for the lab"
        remedy = "leave ground.kind out, or take ground.hypervisors and each node's hypervisor away"
        draft.refuse("ground.hypervisors", list(_names(draft)), rule, remedy)


def _named_once(draft: Draft) -> None:
    if draft.ground.uri is not None and _names(draft):
        rule = "not beside ground.hypervisors, which have each their own"
        draft.refuse("ground.uri", draft.ground.uri, rule, "remove it, or name it as one of ground.hypervisors")


def _one_name_each(draft: Draft) -> None:
    readable = {}
    for name, spec in draft.ground.hypervisors.items():
        with if_readable:
            readable[name] = spec.uri
    several = {uri for uri, count in Counter(readable.values()).items() if count > 1}
    owners: dict[str, str] = {}
    for name, uri in readable.items():
        owner = owners.setdefault(uri, name)
        if uri in several and owner != name:
            path = joined("ground.hypervisors", name, "uri")
            draft.refuse(path, uri, f"one name a hypervisor; {owner} is this one", "remove one of the two")


def _bridge_that_is_there(draft: Draft) -> None:
    if draft.network.bridge is not None and _embedded(draft):
        rule = "only on a native ground: the embedded one has no bridge but the lab's own"
        remedy = "leave it out, or name a hypervisor in ground.uri or ground.hypervisors"
        draft.refuse("network.bridge", draft.network.bridge, rule, remedy)


def _way_out(draft: Draft) -> None:
    if draft.network.bridge is not None and draft.network.mode != "auto":
        rule = f"auto where network.bridge is set: what is behind {draft.network.bridge} decides on the way out"
        draft.refuse("network.mode", draft.network.mode, rule, "leave out one of the two")


_RULES: tuple[Callable[[Draft], None], ...] = (
    _every_node_somewhere,
    _one_network,
    _native,
    _named_once,
    _one_name_each,
    _bridge_that_is_there,
    _way_out,
)
