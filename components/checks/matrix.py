"""Which checks follow from a lab's settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from components.checks.model import EXTERNAL, Check
from components.config import images
from components.config.settings import Settings
from components.config.spec import has_egress

ALL_NODES_LIMIT = 10
"""The most nodes of which each tries the control ports of all."""


def matrix(settings: Settings) -> tuple[Check, ...]:
    """Every check of the lab, each with a unique id."""
    return tuple(_Matrix(settings).checks())


def has_probe_tools(image: str) -> bool:
    """Whether checks can run inside a workload of this image: ping, look up, fetch. Others are targets only."""
    return images.parse(image).is_toolbox


def _check(kind: str, node: str, source: str = "", **about: Any) -> Check:
    """The id is the kind, and then everything that the check is about."""
    words = [about.get("from_network"), about.get("network"), source or (node if node != EXTERNAL else "")]
    words.append(about.get("query_name") or about.get("target") or about.get("target_node"))
    return Check(id=":".join([kind, *(word for word in words if word)]), kind=kind, node=node, source=source, **about)


class _Matrix:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workloads = settings.workloads
        self._members: dict[str, list[str]] = {network: [] for network in settings.networks}
        for name, spec in settings.workloads.items():
            for network in spec.networks:
                self._members[network].append(name)

    def checks(self) -> Iterator[Check]:
        yield from self._nodes()
        yield from self._pairs()
        yield from self._names()
        yield from self._workload_networks()
        yield from self._web()
        yield from self._isolation()
        yield from self._control_plane()
        for name, one in self._settings.checks.items():
            node = self._settings.placement[one.source]
            yield Check(id=name, node=node, **one.model_dump())

    def _inside(self, kind: str, source: str, **about: Any) -> Check:
        """On the source's node."""
        return _check(kind, self._settings.placement[source], source, **about)

    def _able(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if has_probe_tools(self._workloads[name].image)]

    def _nodes(self) -> Iterator[Check]:
        for node in self._settings.nodes:
            yield _check("engine", node)
            yield _check("kv", node)
            for network in self._settings.networks:
                yield _check("network", node, network=network)

    def _pairs(self) -> Iterator[Check]:
        for network, names in self._members.items():
            able = self._able(names)
            for source in able:
                for target in names:
                    if source != target:
                        yield self._inside("ping-ip", source, target=target, network=network)
                        found = "pass" if self._settings.finds(source, target, network) else "fail"
                        yield self._inside("ping-name", source, target=target, network=network, expect=found)
            # Bulk and full-size packets go round a ring: their number grows with the workloads and not the pairs.
            for source, target in zip(able, [*able[1:], *able[:1]], strict=True):
                if source != target:
                    yield self._inside("mtu", source, target=target, network=network)
                    yield self._inside("tcp", source, target=target, network=network)

    def _names(self) -> Iterator[Check]:
        for network, names in self._members.items():
            for target in names:
                # An engine's resolver knows the names of its own workloads, and of others only by the store.
                asking_names = (name for name in names if name != target and self._resolves(name, target, network))
                for asking in self._able(asking_names)[:1]:
                    for name in (target, *self._workloads[target].networks[network].aliases):
                        yield self._inside("dns", asking, target=target, network=network, query_name=name)

    def _resolves(self, source: str, target: str, network: str) -> bool:
        """Whether the resolver of the source's engine has the target's name."""
        placement = self._settings.placement
        return self._settings.networks[network].kind.names or placement[source] == placement[target]

    def _workload_networks(self) -> Iterator[Check]:
        for name, spec in self._workloads.items():
            if spec.shares_network_of:
                yield self._inside("shared", name, target=spec.shares_network_of)
                continue
            for network in spec.networks:
                yield self._inside("interface", name, network=network)
            if self._has_egress(name):
                yield self._inside("gateway-bridge", name)
            elif all(self._settings.networks[network].kind.egress for network in spec.networks):
                yield self._inside("no-egress", name)
            kinds = [self._settings.networks[network].kind for network in spec.networks]
            if self._able([name]) and not all(kind.own_node for kind in kinds):
                yield self._inside("own-node", name, expect="fail")

    def _has_egress(self, name: str) -> bool:
        return has_egress([self._settings.networks[network] for network in self._workloads[name].networks])

    def _web(self) -> Iterator[Check]:
        nodes = list(self._settings.nodes)
        following = dict(zip(nodes, [*nodes[1:], *nodes[:1]], strict=True))
        for name, spec in self._workloads.items():
            if spec.http_port is None or spec.shares_network_of:
                continue
            for network in spec.networks:
                others = (other for other in self._members[network] if other != name)
                for asking in self._able(other for other in others if self._settings.finds(other, name, network))[:1]:
                    yield self._inside("http", asking, target=name, network=network)
            if spec.publish_all or any(port.target == spec.http_port for port in spec.ports):
                # From the next node, so that it crosses the underlay; a lone node asks itself.
                yield _check("http-published", following[self._settings.placement[name]], target=name)
                yield _check("http-external", EXTERNAL, target=name)

    def _isolation(self) -> Iterator[Check]:
        """From each network to each other one, where a workload is on the one and not on the other."""
        for network, names in self._members.items():
            for other, targets in self._members.items():
                sources = self._able(name for name in names if other not in self._workloads[name].networks)
                reached = [name for name in targets if network not in self._workloads[name].networks]
                if network != other and sources and reached:
                    about = {"target": reached[0], "network": other, "from_network": network}
                    yield self._inside("isolation", sources[0], **about, expect="fail")

    def _control_plane(self) -> Iterator[Check]:
        """From one workload with egress on each node to every node and the platform, where the firewall is on.

        In a large lab to its own node and the next one: the rules are the same for all.
        """
        sources: dict[str, str] = {}
        for name in self._workloads:
            if self._settings.engine.firewall and self._has_egress(name):
                sources.setdefault(self._settings.placement[name], name)
        nodes = list(self._settings.nodes)
        for node, following in zip(nodes, [*nodes[1:], *nodes[:1]], strict=True):
            if node in sources:
                targets = nodes if len(nodes) <= ALL_NODES_LIMIT else [node, following]
                for target in (*targets, EXTERNAL):
                    yield self._inside("control-plane", sources[node], target_node=target)
