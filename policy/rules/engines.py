"""Engines: who may command them, and that all of them share one store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from pulumi_policy import EnforcementLevel

from . import daemon, networks, payloads
from .daemon import Daemon
from .overlays import DRIVER
from .rule import Parameters, Resource, ResourceRule, Stack, StackRule
from .types import CONTAINER, DOCKER_PROVIDER, NETWORK

_OWN = "(own address)"
_LOOPBACK = "(loopback)"
_LAST_WITH_A_STORE = "20.10"


@dataclass
class Engine:
    """One engine as the stack configures it, from all payloads that go to its machine."""

    machine: str
    resource: Resource
    """The first that configures it."""
    daemon: Daemon


def configured(stack: Stack) -> list[Engine]:
    """The engines that the stack configures.

    What comes after a container or a network runs on an engine that is configured already: where its text is not
    known yet, that does not postpone the rule.
    """
    found: dict[str, Engine] = {}
    late = stack.after(*stack.of(CONTAINER, NETWORK))
    for resource in stack.of(*payloads.CARRIERS):
        seen = len(resource.unknown)
        for text in payloads.of(resource):
            part = daemon.read(text)
            with resource.postponing():
                if part is not None:
                    key = payloads.machine(resource) or resource.urn
                    engine = found.setdefault(key, Engine(key, resource, Daemon()))
                    engine.daemon |= part
        if resource.urn in late:
            del resource.unknown[seen:]
    return list(found.values())


def open_api(resource: Resource, _: Parameters) -> Iterator[str]:
    """A TCP listener beyond loopback that takes commands from whoever connects.

    A text that is not known yet is judged when it is, before it reaches the machine: no notice is given for it.
    """
    for text in payloads.of(resource):
        part = daemon.read(text)
        if part is None or part.asks_for_certificates:
            continue
        for listener in part.listeners:
            if not _is_closed(listener):
                yield f"dockerd listens on '{listener}' without asking for a client certificate"
    resource.unknown.clear()


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
    engines = configured(stack)
    for engine in engines:
        yield from ((engine.resource, f"{engine.machine}: {text}") for text in _incomplete(engine.daemon))
    literally = [(engine, engine.daemon.store) for engine in engines]
    by_form = [(engine, store_form(engine)) for engine in engines]
    yield from _unequal("cluster-store", max(literally, by_form, key=_agreement))
    yield from _unequal("cluster-advertise", [(engine, advertise_form(engine)) for engine in engines])
    yield from _advertised_twice(engines)
    yield from _left_out(stack, {engine.machine for engine in engines})


def _incomplete(part: Daemon) -> Iterator[str]:
    if not part.store:
        yield "cluster-store is missing"
    elif "://" not in part.store:
        yield f"cluster-store '{part.store}' has no scheme, such as consul://"
    if not part.advertise:
        yield "cluster-advertise is missing"
    elif not part.advertise.rpartition(":")[2].isdigit() or not part.advertise.rpartition(":")[0]:
        yield f"cluster-advertise '{part.advertise}' is not INTERFACE:PORT or ADDRESS:PORT"


def store_form(engine: Engine) -> str | None:
    """The store as this engine names it; its own address and loopback read the same on every engine."""
    if not engine.daemon.store:
        return None
    scheme, _, rest = engine.daemon.store.partition("://")
    authority, slash, path = rest.partition("/")
    host, colon, port = authority.partition(":")
    if host == engine.machine:
        host = _OWN
    elif networks.inside(host, []):
        host = _LOOPBACK
    return f"{scheme}://{host}{colon}{port}{slash}{path}"


def advertise_form(engine: Engine) -> str | None:
    """The interface or "an address", and the port."""
    if not engine.daemon.advertise:
        return None
    host, _, port = engine.daemon.advertise.rpartition(":")
    return f"{_OWN if networks.address(host) else host}:{port}"


def _agreement(forms: list[tuple[Engine, str | None]]) -> int:
    """How many engines say the same as most."""
    return max(Counter(form for _, form in forms if form).values(), default=0)


def _unequal(key: str, forms: list[tuple[Engine, str | None]]) -> Iterator[tuple[Resource, str]]:
    counted = Counter(form for _, form in forms if form)
    if len(counted) < 2:
        return
    usual, _ = counted.most_common(1)[0]
    for engine, form in forms:
        if form and form != usual:
            yield engine.resource, f"{engine.machine}: {key} is '{form}', elsewhere '{usual}'"


def _advertised_twice(engines: list[Engine]) -> Iterator[tuple[Resource, str]]:
    seen: dict[str, str] = {}
    for engine in engines:
        advertise = engine.daemon.advertise or ""
        if networks.address(advertise.rpartition(":")[0]) is None:
            continue
        other = seen.setdefault(advertise, engine.machine)
        if other != engine.machine:
            yield engine.resource, f"{engine.machine}: advertises {advertise}, and so does {other}"


def _left_out(stack: Stack, machines: set[str]) -> Iterator[tuple[Resource, str]]:
    """Engines that the stack uses beside its overlays without ever giving them the store."""
    if not any(_is_overlay(network) for network in stack.of(NETWORK)):
        return
    for provider in stack.of(DOCKER_PROVIDER):
        with provider.postponing():
            machine = urlsplit(str(provider.props.get("host") or "")).hostname
            if machine and machine not in machines:
                yield provider, f"{machine}: nothing in the stack gives this engine a cluster-store"


def _is_overlay(network: Resource) -> bool:
    with network.postponing():
        return network.props.get("driver") == DRIVER
    return False


def past_its_life(stack: Stack, parameters: Parameters) -> Iterator[tuple[Resource, str]]:
    """Engines of a release line without security fixes. Only lines up to 20.10 know a cluster store."""
    old: dict[str, list[Engine]] = {}
    for engine in configured(stack):
        line = engine.daemon.version or (_LAST_WITH_A_STORE if engine.daemon.store else None)
        if line in parameters["ended"]:
            old.setdefault(str(line), []).append(engine)
    for line, engines in old.items():
        names = ", ".join(engine.machine for engine in engines[:3]) + (", ..." if len(engines) > 3 else "")
        yield engines[0].resource, f"{len(engines)} engine(s) of line {line}: {names}"


RULES = (
    ResourceRule(
        name="engine-api-certificates",
        reason="An engine's API gives root on its node to whoever can connect.",
        remedy="drop the tcp listener (SSH needs none), or set tlsverify with tlscacert, tlscert and tlskey",
        types=payloads.CARRIERS,
        predicate=open_api,
    ),
    StackRule(
        name="engines-share-store",
        reason="Engines see each other's overlays only through one and the same store.",
        remedy="give every engine the same cluster-store, and cluster-advertise in the same form (lab0:2376)",
        predicate=split_store,
    ),
    StackRule(
        name="engine-end-of-life",
        reason="This engine line gets no security fixes from its makers any more.",
        remedy="keep such a lab off networks that are not yours; 20.10 is the last line with a cluster store",
        predicate=past_its_life,
        level=EnforcementLevel.ADVISORY,
        parameters={
            "ended": {
                "type": "array",
                "items": {"type": "string"},
                "default": ["17.03", "17.06", "17.09", "17.12", "18.03", "18.06", "18.09", "19.03", "20.10"],
                "description": "Release lines, as MAJOR.MINOR, that have ended.",
            }
        },
    ),
)
