"""The cluster store: who can write Docker's network state, and what is lost with one node. By what agents declare."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import EnforcementLevel

from . import networks
from .rule import Parameters, Resource, ResourceRule, Stack, StackRule, flag
from .types import STORE_AGENT


def public_http(agent: Resource, parameters: Parameters) -> Iterator[str]:
    """The store's API bound beyond loopback and the lab's networks."""
    if parameters["allow_public"]:
        return
    lab = networks.lab(parameters)
    for address in agent.each("client_addresses"):
        if not networks.inside(str(address), lab):
            yield f"the store's API is bound to '{address}'"


def plain_gossip(agent: Resource, _: Parameters) -> Iterator[str]:
    """An agent of Consul without a gossip key: nothing else has gossip of its own."""
    if agent.props.get("kind", "consul") == "consul" and not agent.props.get("encrypted"):
        yield "the store's agents gossip in plain text, and let anyone join"


def no_acl(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """Agents of a cluster of servers without access lists. A single server cannot have them."""
    agents = stack.of(STORE_AGENT)
    servers = 0
    for agent in agents:
        with agent.deferring_unknowns():
            servers += bool(agent.props.get("server"))
    for agent in agents if servers > 1 else ():
        with agent.deferring_unknowns():
            if not agent.props.get("acl"):
                yield agent, "the store has no access lists: whoever reaches an agent may write everything"


def single_server(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """One server: the single-server mode."""
    servers = []
    for agent in stack.of(STORE_AGENT):
        with agent.deferring_unknowns():
            if agent.props.get("server"):
                servers.append(agent)
    if len(servers) == 1:
        yield servers[0], "one server holds the only copy of the store"


RULES = (
    ResourceRule(
        name="store-http-private",
        reason="Whoever reaches the store's API can rewrite every overlay of the lab.",
        remedy="bind it to loopback and the node's lab address (Consul: client_addr); or set allow_public",
        types=(STORE_AGENT,),
        predicate=public_http,
        parameters={**networks.PARAMETER, **flag("allow_public", "The stack means its store to be public.")},
    ),
    StackRule(
        name="store-single-server",
        reason="With a single store server, losing its node loses the overlays.",
        remedy="set lab.store.servers to 3 (dev's one server is the single-server mode)",
        predicate=single_server,
        level=EnforcementLevel.ADVISORY,
    ),
    StackRule(
        name="store-acl",
        reason="Without access lists whoever reaches one agent of the store can rewrite every overlay of the lab.",
        remedy="set lab.store.acl to true; only Consul can have them",
        predicate=no_acl,
        level=EnforcementLevel.ADVISORY,
    ),
    ResourceRule(
        name="store-gossip-key",
        reason="Without a gossip key anyone on the underlay can join the store.",
        remedy="give the agents a key (encrypt in their configuration file), as a secret",
        types=(STORE_AGENT,),
        predicate=plain_gossip,
        level=EnforcementLevel.ADVISORY,
    ),
)
