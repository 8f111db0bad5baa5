"""Overlays: settings, store, engines, and their namespaces in the kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from overlab.inspect.finding import Finding
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.store import StoredNetwork


def stored(look: Snapshot) -> tuple[StoredNetwork, ...]:
    """The store's overlays; none where the store said nothing that counts."""
    return look.store.networks if look.store is not None and look.store.leader else ()


def declared(look: Snapshot) -> Iterator[Finding]:
    """The store has every overlay of the settings once, with the stated subnet."""
    if look.store is None or not look.store.leader:
        return
    networks = stored(look)
    names = Counter(network.name for network in networks)
    for name, subnet in look.wanted.overlays.items():
        if name not in names:
            yield Finding(
                severity="wrong",
                kind="overlay-missing",
                subject=name,
                says="the settings have it, the store has not",
                means="no engine sees it; the store was emptied, or the lab is not up to its settings",
                remedy="overlab refresh, then overlab up",
            )
            for other in (network for network in networks if subnet and network.subnet == subnet):
                yield Finding(
                    severity="wrong",
                    kind="overlay-subnet-taken",
                    subject=name,
                    says=f"{other.name} has {subnet}, which the settings give to {name}",
                    means="the engines refuse to make it: Pool overlaps with other one on this address space",
                    remedy=f"overlab exec NODE -- docker network rm {other.name}, then overlab refresh and overlab up",
                )
        for network in networks:
            if network.name == name and subnet and network.subnet != subnet:
                yield Finding(
                    severity="wrong",
                    kind="overlay-subnet",
                    subject=name,
                    says=f"its subnet is {network.subnet}, the settings want {subnet}",
                    means="it was made from other settings",
                    remedy="overlab refresh, then overlab up",
                )
    for name, count in names.items():
        if count > 1:
            ids = [network.id[:12] for network in networks if network.name == name]
            yield Finding(
                severity="wrong",
                kind="overlay-twice",
                subject=name,
                says=f"the store has {count} networks of this name: {', '.join(ids)}",
                means="two engines made it at the same moment; which one a container joins is chance",
                remedy="remove the one without endpoints, by its id: overlab exec NODE -- docker network rm ID",
            )
        if name not in look.wanted.overlays:
            yield Finding(
                severity="note",
                kind="overlay-stranger",
                subject=name,
                says="the store has it, the settings have not",
                means="somebody made it by hand",
                remedy=f"overlab exec NODE -- docker network rm {name}, if nobody needs it",
            )


def seen(look: Snapshot) -> Iterator[Finding]:
    """Every engine that answers sees every overlay of the store, with the same id, and no other."""
    networks = {network.id: network for network in stored(look)}
    if look.store is None or not look.store.leader:
        return
    for key, report in look.reports.items():
        if report.networks is None:
            continue
        own = {network.id: network for network in report.networks if network.driver == "overlay"}
        for missing in networks.keys() - own.keys():
            yield Finding(
                severity="wrong",
                kind="overlay-unseen",
                subject=f"{networks[missing].name} on {key}",
                says=f"the store has {missing[:12]}, the engine of {key} does not list it",
                means="the engine does not get the store's answers; its watch may have died in a dead namespace",
                remedy=f"overlab exec {key} -- systemctl restart docker.service (live-restore keeps its containers)",
            )
        for extra in own.keys() - networks.keys():
            yield Finding(
                severity="wrong",
                kind="overlay-ghost",
                subject=f"{own[extra].name} on {key}",
                says=f"the engine of {key} lists {extra[:12]}, the store has it not",
                means="the engine works from what it remembers: the store lost it, or another store is in use",
                remedy=f"overlab exec {key} -- systemctl restart docker.service, then overlab refresh and overlab up",
            )


def namespaces(look: Snapshot) -> Iterator[Finding]:
    """A node with an endpoint of an overlay has the overlay's namespace, and its VNI there is the store's."""
    for network in stored(look):
        for key, report in look.reports.items():
            if report.overlays is None:
                continue
            here = [end for end in network.endpoints if look.wanted.node_at(end.owner) == key]
            namespace = report.namespace(network.id)
            if namespace is None:
                running = [end for end in here if report.container_of(end.id) is not None]
                if running:
                    yield Finding(
                        severity="wrong",
                        kind="namespace-missing",
                        subject=f"{network.name} on {key}",
                        says=f"{', '.join(end.name for end in running)} is on it, and {key} has no namespace for it",
                        means="there is no bridge and no tunnel: these workloads reach nobody on this overlay",
                        remedy=f"overlab exec {key} -- docker restart {running[0].name}",
                    )
            elif namespace.vnis and network.vni not in namespace.vnis:
                yield Finding(
                    severity="wrong",
                    kind="vni-differs",
                    subject=f"{network.name} on {key}",
                    says=f"the kernel's VNI is {', '.join(map(str, namespace.vnis))}, the store's {network.vni}",
                    means="its packets are those of another overlay to the other nodes",
                    remedy=f"overlab exec {key} -- systemctl restart docker.service, then restart its workloads there",
                )
