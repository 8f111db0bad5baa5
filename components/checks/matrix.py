"""Which checks follow from a lab's settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.checks.model import EXTERNAL, Check
from components.config.settings import Settings

TOOLBOX = "busybox"
"""The image whose containers can ping, look up and fetch; others are targets only."""


def matrix(settings: Settings) -> tuple[Check, ...]:
    """Every check of the lab, each with an id of its own."""
    on = members(settings)
    return (
        *_nodes(settings),
        *_pairs(settings, on),
        *_names(settings, on),
        *_stacks(settings),
        *_web(settings, on),
        *_isolation(settings, on),
        *_stated(settings),
    )


Members = Mapping[str, list[str]]
"""Overlay -> the workloads on it, in the order of the settings."""


def members(settings: Settings) -> Members:
    """Who is on which overlay."""
    found: dict[str, list[str]] = {overlay: [] for overlay in settings.networks}
    for name, spec in settings.workloads.items():
        for overlay in spec.networks:
            found[overlay].append(name)
    return found


def has_probe_tools(settings: Settings, name: str) -> bool:
    """Whether checks can run inside the workload."""
    return settings.workloads[name].image.rsplit("/", 1)[-1].split(":")[0] == TOOLBOX


def _nodes(settings: Settings) -> Iterator[Check]:
    for node in settings.nodes:
        yield Check(f"engine:{node}", "engine", node)
        yield Check(f"kv:{node}", "kv", node)
        for overlay in settings.networks:
            yield Check(f"network:{overlay}:{node}", "network", node, network=overlay)


def _pairs(settings: Settings, on: Members) -> Iterator[Check]:
    for overlay in settings.networks:
        names = on[overlay]
        for source in names:
            if not has_probe_tools(settings, source):
                continue
            node = settings.placement[source]
            for target in names:
                if source != target:
                    yield Check(f"ping-ip:{overlay}:{source}:{target}", "ping-ip", node, source, target, overlay)
                    yield Check(f"ping-name:{overlay}:{source}:{target}", "ping-name", node, source, target, overlay)
        # Bulk and full-size packets go round a ring, so that their number grows with the workloads and not the pairs.
        ring = [name for name in names if has_probe_tools(settings, name)]
        for source, target in zip(ring, [*ring[1:], *ring[:1]], strict=True):
            if source != target:
                node = settings.placement[source]
                yield Check(f"mtu:{overlay}:{source}:{target}", "mtu", node, source, target, overlay)
                yield Check(f"tcp:{overlay}:{source}:{target}", "tcp", node, source, target, overlay)


def _names(settings: Settings, on: Members) -> Iterator[Check]:
    for overlay in settings.networks:
        names = on[overlay]
        for target in names:
            asking = next((name for name in names if name != target and has_probe_tools(settings, name)), None)
            if asking is None:
                continue
            for name in (target, *settings.workloads[target].networks[overlay].aliases):
                node = settings.placement[asking]
                yield Check(f"dns:{overlay}:{asking}:{name}", "dns", node, asking, f"{target}/{name}", overlay)


def _stacks(settings: Settings) -> Iterator[Check]:
    for name, spec in settings.workloads.items():
        node = settings.placement[name]
        if spec.shares_network_of:
            yield Check(f"shared:{name}:{spec.shares_network_of}", "shared", node, name, spec.shares_network_of)
            continue
        for overlay in spec.networks:
            yield Check(f"interface:{overlay}:{name}", "interface", node, name, network=overlay)
        if all(settings.networks[overlay].internal for overlay in spec.networks):
            yield Check(f"internal:{name}", "internal", node, name)
        else:
            yield Check(f"bridge:{name}", "bridge", node, name)


def _web(settings: Settings, on: Members) -> Iterator[Check]:
    nodes = list(settings.nodes)
    after = dict(zip(nodes, [*nodes[1:], *nodes[:1]], strict=True))
    for name, spec in settings.workloads.items():
        if spec.http_port is None or spec.shares_network_of:
            continue
        for overlay in spec.networks:
            asking = next((n for n in on[overlay] if n != name and has_probe_tools(settings, n)), None)
            if asking is not None:
                yield Check(
                    f"http:{overlay}:{asking}:{name}", "http", settings.placement[asking], asking, name, overlay
                )
        if spec.publish_all or any(port.target == spec.http_port for port in spec.ports):
            # From the next node, so that it crosses the lab network; a lone node asks itself.
            other = after[settings.placement[name]]
            yield Check(f"http-node:{other}:{name}", "http-node", other, target=name)
            yield Check(f"http-external:{name}", "http-external", EXTERNAL, target=name)


def _isolation(settings: Settings, on: Members) -> Iterator[Check]:
    """From each overlay to each other one, where a workload is on the one and not on the other."""
    for overlay in settings.networks:
        for other in settings.networks:
            source = next(
                (
                    n
                    for n in on[overlay]
                    if other not in settings.workloads[n].networks and has_probe_tools(settings, n)
                ),
                None,
            )
            target = next((n for n in on[other] if overlay not in settings.workloads[n].networks), None)
            if overlay != other and source and target:
                node = settings.placement[source]
                name = f"isolation:{overlay}:{other}:{source}:{target}"
                yield Check(name, "isolation", node, source, target, other, expect="fail")


def _stated(settings: Settings) -> Iterator[Check]:
    for name, spec in settings.checks.items():
        node = settings.placement[spec.source]
        yield Check(name, spec.kind, node, spec.source, spec.target, spec.network, spec.expect, spec.timeout_s)
