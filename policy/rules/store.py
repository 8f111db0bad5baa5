"""The cluster store: who can write Docker's network state, and what is lost with one node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_policy import EnforcementLevel

from . import images, networks, payloads
from .rule import Parameters, Resource, ResourceRule, Stack, StackRule
from .types import CONTAINER

_STORES = {"consul", "etcd", "zookeeper"}
_OPEN_BY_ITSELF = "progrium/consul"
"""Its image has -client=0.0.0.0 built in."""
_PRIVATE_TEMPLATE = re.compile(r"\{\{\s*GetPrivateIP\b")


def is_store(container: Resource) -> bool:
    """Whether a container runs a store, by its image; raises where that is unknown."""
    return images.program(images.of(container) or "") in _STORES


def is_consul(container: Resource) -> bool:
    return images.program(images.of(container) or "") == "consul"


def public_http(container: Resource, parameters: Parameters) -> Iterator[str]:
    """Consul's HTTP API bound beyond loopback and the lab networks."""
    if not is_consul(container) or parameters["allow_public"]:
        return
    stated = list(_client_addresses(container))
    if not stated and _OPEN_BY_ITSELF in (images.of(container) or ""):
        stated = ["0.0.0.0"]
    lab = networks.lab(parameters)
    for address in stated:
        if _PRIVATE_TEMPLATE.match(address) or address.startswith("unix://"):
            continue
        if not networks.inside(address, lab):
            yield f"Consul's HTTP API is bound to '{address}'"


def _client_addresses(container: Resource) -> Iterator[str]:
    words = [str(word) for word in container.props.get("command") or ()]
    for value in _flag_values(words, "client"):
        yield from [value] if "{{" in value else value.split()
    for document in _configurations(container):
        addresses = document.get("addresses")
        http = addresses.get("http") if isinstance(addresses, Mapping) else None
        for text in (str(stated) for stated in (document.get("client_addr"), http) if stated):
            yield from [text] if "{{" in text else text.split()
    for variable in container.props.get("envs") or ():
        name, _, value = str(variable).partition("=")
        if name == "CONSUL_CLIENT_INTERFACE":
            yield f"the interface {value}"


def _flag_values(words: list[str], flag: str) -> Iterator[str]:
    for index, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == flag:
            yield value if equals else "".join(words[index + 1 : index + 2])


def _configurations(container: Resource) -> Iterator[Mapping[str, Any]]:
    """JSON documents that the agent reads, as far as the container carries them."""
    for variable in container.props.get("envs") or ():
        yield from payloads.documents(str(variable))
    for upload in container.props.get("uploads") or ():
        yield from payloads.documents(str(upload.get("content") or ""))


def plain_gossip(container: Resource, _: Parameters) -> Iterator[str]:
    """A Consul agent without a gossip key. A file that the container does not carry is believed to hold one."""
    if not is_consul(container):
        return
    words = [str(word) for word in container.props.get("command") or ()]
    keyed = any(_flag_values(words, "encrypt")) or any(d.get("encrypt") for d in _configurations(container))
    if not keyed and not _reads_elsewhere(container, words):
        yield "Consul's agents gossip in clear, and let anyone join"


def _reads_elsewhere(container: Resource, words: list[str]) -> bool:
    carried = {str(upload.get("file")) for upload in container.props.get("uploads") or ()}
    named = [*_flag_values(words, "config-file"), *_flag_values(words, "config-dir")]
    return any(file not in carried for file in named)


def single_server(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """One server: the single-server mode."""
    servers = []
    for container in stack.of(CONTAINER):
        with container.postponing():
            if is_store(container) and _is_server(container):
                servers.append(container)
    if len(servers) == 1:
        yield servers[0], "one server holds the only copy of the store"


def _is_server(container: Resource) -> bool:
    """Of Consul's agents those told to be servers; every container of another store."""
    words = [str(word) for word in container.props.get("command") or ()]
    return (
        not is_consul(container)
        or any(word.startswith("-") and word.partition("=")[0].lstrip("-") == "server" for word in words)
        or any(document.get("server") is True for document in _configurations(container))
    )


RULES = (
    ResourceRule(
        name="store-http-private",
        reason="Whoever reaches Consul's HTTP API can rewrite every overlay of the lab.",
        remedy="bind it to loopback and the node's lab address: -client='127.0.0.1 ADDRESS'; or set allow_public",
        types=(CONTAINER,),
        predicate=public_http,
        parameters={
            **networks.PARAMETER,
            "allow_public": {
                "type": "boolean",
                "default": False,
                "description": "The stack means its store to be public.",
            },
        },
    ),
    StackRule(
        name="store-single-server",
        reason="With a single store server, losing its node loses the overlays.",
        remedy="set lab.store.servers to 3 (dev's one server is the single-server mode)",
        predicate=single_server,
        level=EnforcementLevel.ADVISORY,
    ),
    ResourceRule(
        name="store-gossip-key",
        reason="Without a gossip key anyone on the lab network can join the store.",
        remedy="give the agents a key (-encrypt, or encrypt in a configuration file), as a secret",
        types=(CONTAINER,),
        predicate=plain_gossip,
        level=EnforcementLevel.ADVISORY,
    ),
)
