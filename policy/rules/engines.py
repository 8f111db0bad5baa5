"""Engines: who may command them, and that all of them share one store. By the inputs that engine components declare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pulumi_policy import EnforcementLevel

from . import engine_text, networks, payloads
from .rule import Parameters, Resource, ResourceRule, Stack, StackRule, items
from .types import DOCKER_PROVIDER, ENGINE, NETWORK

_OWN = "(own address)"
_LOOPBACK = "(loopback)"
_ENDED = ("17.03", "17.06", "17.09", "17.12", "18.03", "18.06", "18.09", "19.03", "20.10")


def open_api(resource: Resource, _: Parameters) -> Iterator[str]:
    """A TCP listener beyond loopback that takes commands from whoever connects.

    A text that is not known yet is evaluated when it is, before it reaches the machine: no notice is given for it.
    """
    if resource.type == ENGINE:
        found = [] if resource.props.get("tls_verify") else [str(one) for one in resource.props.get("listeners") or ()]
    else:
        found = [one for text in payloads.of(resource) for one in engine_text.unverified_listeners(text)]
        resource.unknown.clear()
    for listener in found:
        if not _is_closed(listener):
            yield f"dockerd listens on '{listener}' without asking for a client certificate"


def _is_closed(listener: str) -> bool:
    scheme, separator, rest = listener.partition("://")
    if not separator:
        scheme, rest = "tcp", listener
    if scheme != "tcp":
        return True
    host = rest.rpartition(":")[0] if ":" in rest else rest
    return networks.inside(host, [])


def split_store(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """Engines without cluster-store or cluster-advertise, or with another than the rest."""
    engines = stack.of(ENGINE)
    for engine in engines:
        yield from ((engine, text) for text in _incomplete(_text(engine, "cluster_store"), _advertise(engine)))
    literally = [(engine, _text(engine, "cluster_store")) for engine in engines]
    by_form = [(engine, store_form(engine)) for engine in engines]
    yield from _unequal("cluster-store", max(literally, by_form, key=_agreement))
    yield from _unequal("cluster-advertise", [(engine, advertise_form(engine)) for engine in engines])
    yield from _advertised_twice(engines)
    yield from _without_store(stack, {_text(engine, "address") for engine in engines})


def _text(engine: Resource, key: str) -> str:
    """A declared input; empty where there is none, or where it is not known yet."""
    with engine.deferring_unknowns():
        return str(engine.props.get(key) or "")
    return ""


def _advertise(engine: Resource) -> str:
    return _text(engine, "cluster_advertise")


def _incomplete(store: str, advertise: str) -> Iterator[str]:
    if not store:
        yield "cluster-store is missing"
    elif "://" not in store:
        yield f"cluster-store '{store}' has no scheme, such as consul://"
    if not advertise:
        yield "cluster-advertise is missing"
    elif not advertise.rpartition(":")[2].isdigit() or not advertise.rpartition(":")[0]:
        yield f"cluster-advertise '{advertise}' is not INTERFACE:PORT or ADDRESS:PORT"


def store_form(engine: Resource) -> str:
    """The store as this engine names it; its own address and loopback read the same on every engine."""
    scheme, separator, rest = _text(engine, "cluster_store").partition("://")
    authority, slash, path = rest.partition("/")
    host, colon, port = authority.partition(":")
    if host and host == _text(engine, "address"):
        host = _OWN
    elif networks.inside(host, []):
        host = _LOOPBACK
    return f"{scheme}{separator}{host}{colon}{port}{slash}{path}"


def advertise_form(engine: Resource) -> str:
    """The interface or "an address", and the port."""
    host, colon, port = _advertise(engine).rpartition(":")
    return f"{_OWN if networks.address(host) else host}{colon}{port}"


def _agreement(forms: list[tuple[Resource, str]]) -> int:
    """How many engines have the most frequent form."""
    return max(Counter(form for _, form in forms if form).values(), default=0)


def _unequal(key: str, forms: list[tuple[Resource, str]]) -> Iterator[tuple[Resource, str]]:
    counted = Counter(form for _, form in forms if form)
    usual = counted.most_common(1)[0][0] if counted else ""
    for engine, form in forms:
        if form and form != usual:
            yield engine, f"{key} is '{form}', elsewhere '{usual}'"


def _advertised_twice(engines: list[Resource]) -> Iterator[tuple[Resource, str]]:
    seen: dict[str, Resource] = {}
    for engine in engines:
        advertise = _advertise(engine)
        if networks.address(advertise.rpartition(":")[0]) is None:
            continue
        other = seen.setdefault(advertise, engine)
        if other is not engine:
            yield engine, f"advertises {advertise}, and so does {other.name}"


def _without_store(stack: Stack, addresses: set[str]) -> Iterator[tuple[Resource, str]]:
    """Engines that the stack uses beside its overlays without ever giving them the store."""
    if not any(_is_overlay(network) for network in stack.of(NETWORK)):
        return
    for provider in stack.of(DOCKER_PROVIDER):
        with provider.deferring_unknowns():
            machine = urlsplit(str(provider.props.get("host") or "")).hostname
            if machine and machine not in addresses:
                yield provider, f"{machine}: nothing in the stack gives this engine a cluster-store"


def _is_overlay(network: Resource) -> bool:
    with network.deferring_unknowns():
        return bool(network.props.get("driver") == "overlay")
    return False


def softened(engine: Resource, _: Parameters) -> Iterator[str]:
    """Hardening that an engine component declares to be off."""
    with engine.deferring_unknowns():
        if engine.props.get("no_new_privileges") is False:
            yield "no_new_privileges is off: processes in containers gain rights by setuid programs"
    with engine.deferring_unknowns():
        if engine.props.get("icc") is True:
            yield "icc is on: containers on the default bridge reach each other"
    with engine.deferring_unknowns():
        if engine.props.get("firewall") is False:
            yield "the node has no firewall: containers and neighbors reach the engine's and the store's ports"


def end_of_life(stack: Stack, parameters: Parameters) -> Iterator[tuple[Resource, str]]:
    """Engines of a release line without security fixes."""
    old: dict[str, list[Resource]] = {}
    for engine in stack.of(ENGINE):
        line = ".".join(_text(engine, "version").split(".")[:2])
        if line in parameters["ended"]:
            old.setdefault(line, []).append(engine)
    for line, engines in old.items():
        names = ", ".join(engine.name for engine in engines[:3]) + (", ..." if len(engines) > 3 else "")
        yield engines[0], f"{len(engines)} engine(s) of line {line}: {names}"


def pools(engine: Resource) -> list[Any] | None:
    """Address ranges of the engine's local networks; None where it states none. Raises where they are not known."""
    stated = engine.props.get("address_pools")
    return None if stated is None else [pool["base"] for pool in stated]


RULES = (
    ResourceRule(
        name="engine-api-certificates",
        reason="An engine's API gives root on its node to whoever can connect.",
        remedy="drop the tcp listener (SSH needs none), or set tlsverify with tlscacert, tlscert and tlskey",
        types=(ENGINE, *payloads.CARRIERS),
        predicate=open_api,
    ),
    StackRule(
        name="engines-share-store",
        reason="Engines see each other's overlays only through one and the same store.",
        remedy="give every engine the same cluster-store, and cluster-advertise in the same form (lab0:2376)",
        predicate=split_store,
    ),
    ResourceRule(
        name="engine-hardened",
        reason="An engine's defaults are what confines its containers.",
        remedy="leave no_new_privileges, icc and firewall at their defaults, or turn the rule off with a reason",
        types=(ENGINE,),
        predicate=softened,
        level=EnforcementLevel.ADVISORY,
    ),
    StackRule(
        name="engine-end-of-life",
        reason="This engine line gets no security fixes from its makers any more.",
        remedy="keep such a lab off networks that are not yours; 20.10 is the last line with a cluster store",
        predicate=end_of_life,
        level=EnforcementLevel.ADVISORY,
        parameters=items("ended", _ENDED, "Release lines, as MAJOR.MINOR, that have ended."),
    ),
)
