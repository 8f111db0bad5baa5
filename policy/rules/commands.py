"""Remote commands: that they reach the machine they mean, and that nothing of theirs outlives it."""

from __future__ import annotations

from collections.abc import Iterator

from . import domains
from .rule import Parameters, Resource, ResourceRule, Stack, StackRule
from .types import REMOTE


def no_host_key(resource: Resource, _: Parameters) -> Iterator[str]:
    """A connection, or its proxy's, that accepts any host key."""
    connection = resource.props.get("connection") or {}
    if not connection.get("hostKey"):
        yield "connection.hostKey is missing: any host key is accepted at that address"
    proxy = connection.get("proxy")
    if proxy and not proxy.get("hostKey"):
        yield "connection.proxy.hostKey is missing: any host key is accepted at the proxy's address"


def no_cleanup(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """Neither a ``delete``, nor on a machine that this stack creates and deletes.

    ``deletedWith`` itself is not sent to policies. What can be seen is what makes it possible: the command comes
    after a machine of this stack, and goes to one of the machines' addresses.
    """
    inside = stack.after(*domains.of_nodes(stack))
    addresses, all_known = domains.all_addresses(stack)
    for resource in stack.of(*REMOTE):
        deletes = True  # or it is not known yet
        with resource.deferring_unknowns():
            deletes = bool(resource.props.get("delete"))
        if deletes:
            continue
        if resource.urn not in inside:
            yield resource, "has no delete, and comes after no machine of this stack"
            continue
        with resource.deferring_unknowns():
            machine = str((resource.props.get("connection") or {}).get("host") or "")
            if all_known and machine and machine not in addresses:
                yield resource, f"has no delete, and {machine} is none of this stack's machines"


RULES = (
    ResourceRule(
        name="command-host-key",
        reason="Without a host key a remote command runs, as root, on whatever answers.",
        remedy="create the host key with the machine and state it as connection.hostKey",
        types=REMOTE,
        predicate=no_host_key,
    ),
    StackRule(
        name="command-cleanup",
        reason="What a remote command did must go: by its delete, or with the machine it ran on.",
        remedy="state delete; or declare it on a node of the stack (depends_on, deleted_with its domain or container)",
        predicate=no_cleanup,
    ),
)
