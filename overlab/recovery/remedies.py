"""What brings a lab back to what is declared: actions on nodes, and resources that Pulumi has to look at or make again.
Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from components.config import conventions, roles
from components.config.settings import Settings
from components.config.stores import StoreBackend
from components.node import firewall, store_client, watchdog
from overlab.inspect.compare_endpoints import stale_entries
from overlab.inspect.finding import Finding
from overlab.inspect.node_collector import ENGINE_RULES, FIREWALL_RULES
from overlab.inspect.node_report import Container
from overlab.inspect.snapshot import Snapshot
from overlab.stack.engines import node_of
from overlab.stack.state import CONTAINER, DOCKER_NETWORK, DOCKER_VOLUME, IMAGE, Resource, State
from overlab.troubleshoot import repair

TRANSIENT = frozenset(
    {
        "node-unreachable",
        "report-incomplete",
        "container-timeout",
        "engine-down",
        "store-down",
        "store-unreachable",
        "store-no-leader",
        "store-peers-mismatch",
        "node-not-registered",
        "gossip-partition",
    }
)
"""A machine, an engine or a store that has just started shows these for a while."""

_START_ENGINE = "systemctl enable -q docker.socket docker.service; systemctl reset-failed docker.service docker.socket;"
_RESTART_ENGINE = "systemctl restart docker.service"
_RESTARTING = "Restarting"
_NEVER_STARTED = "Created"
"""Its own program ends again and again: that is reported, not repaired."""
_CONFIGURED = frozenset(
    {"engine-down", "engine-store-mismatch", "engine-advertise-mismatch", "configuration-changed", "watchdog-down"}
)
_ONLY_PEER = """\
set -e
data=$(docker volume inspect -f '{{{{.Mountpoint}}}}' {volume})
[ -d "$data/raft" ] || exit 0
docker stop {container}
printf '[{{"id": "%s", "address": "{address}"}}]' "$(cat "$data/node-id")" >"$data/raft/peers.json"
docker start {container}
"""
_ENGINE = "engine"
_STORE = "store"
_GOSSIP = "gossip"
_ENDPOINT = "endpoint"
_WORKLOAD = "workload"
ENTRY = "entry"
_ORDER = (_ENGINE, _STORE, _GOSSIP, _ENDPOINT, _WORKLOAD, ENTRY)
"""What is later needs what is earlier: after the actions of one, the lab is looked at again."""


@dataclass(frozen=True)
class Action:
    """A shell script that runs as root on a node."""

    node: str
    subject: str
    what: str
    """For a person: what it does."""
    script: str
    stage: str


@dataclass(frozen=True)
class Plan:
    """What there is to do; the actions come first, all of one stage."""

    actions: tuple[Action, ...] = ()
    refresh: tuple[Resource, ...] = ()
    """Gone from their engine, or on another address than the state has: an update acts on it after a refresh."""
    replace: tuple[str, ...] = ()
    """URNs of commands that have to run again."""

    def __bool__(self) -> bool:
        return bool(self.actions or self.refresh or self.replace)


Tried = Collection[tuple[str, str]]
"""Node and script of each action that was run before."""


def plan(snapshot: Snapshot, findings: Collection[Finding], state: State, tried: Tried = ()) -> Plan:
    """What to do about the findings, and about what the state has and a node has not.

    An action that was tried is not repeated; where there is another one for the same fault, that is taken.
    """
    case = _Case(snapshot, state, tried)
    actions = [action for action in case.actions(findings) if (action.node, action.script) not in tried]
    stage = next((stage for stage in _ORDER if any(action.stage == stage for action in actions)), "")
    now = [action for action in actions if action.stage == stage]
    return Plan(
        tuple(dict.fromkeys(now)),
        tuple(dict.fromkeys([*case.gone(), *case.moved()])),
        tuple(dict.fromkeys(case.commands(findings))),
    )


def _forget(advertised: str) -> str:
    """Removes an engine's registration from the store."""
    return f"{store_client.SCRIPT} delete docker/nodes/{shlex.quote(advertised)}"


def to_one_server(settings: Settings, state: State) -> tuple[list[Action], list[Action]]:
    """Before an update that leaves one of several servers of Consul: what is done on the other nodes, then on its own.

    The others have to be stopped first: together they are a majority, and would take it back as a follower.
    """
    backend = settings.store.backend
    nodes = {str(node.address): key for key, node in settings.nodes.items()}
    present = {node_of(one) for one in state.resources if one.type == CONTAINER and one.name == backend.name}
    kept = settings.store_nodes[0]
    several = len(present) > 1 and str(settings.nodes[kept].address) in present
    if not (backend.agents and settings.store.servers == 1 and several):
        return [], []
    others = [nodes[address] for address in nodes if address in present and nodes[address] != kept]
    stop = f"docker stop {backend.name}"
    stopped = [Action(node, backend.name, "stop, one server is left", stop, _STORE) for node in others]
    return stopped, [_only_peer(backend, kept, str(settings.nodes[kept].address))]


def _only_peer(backend: StoreBackend, node: str, address: str) -> Action:
    script = _ONLY_PEER.format(
        address=f"{address}:{conventions.CONSUL_RPC_PORT}", container=backend.name, volume=backend.volume
    )
    return Action(node, backend.name, "make it the only peer", script, _STORE)


def _is_overlay(network: Resource) -> bool:
    return bool(network.inputs.get("driver", "overlay") == "overlay")


class _Case:
    """One snapshot beside the state."""

    def __init__(self, snapshot: Snapshot, state: State, tried: Tried) -> None:
        self._snapshot = snapshot
        self._state = state
        self._tried = tried
        self._nodes = {address: key for key, address in snapshot.expected.nodes.items()}

    # -- on nodes ------------------------------------------------------------------------------

    def actions(self, findings: Collection[Finding]) -> Iterator[Action]:
        for finding in findings:
            if remedy := _BY_FINDING.get(finding.id):
                yield from remedy(self, finding)
        yield from self._lost_store()
        yield from self._lost_networks()
        for resource, container in self._containers():
            yield from self._container(resource, container)

    def _containers(self) -> Iterator[tuple[Resource, Container]]:
        """Each container of the state that its node has."""
        for resource in self._state.resources:
            node = self._node(resource)
            report = self._snapshot.reports.get(node)
            if resource.type == CONTAINER and report is not None:
                yield from ((resource, one) for one in report.containers or () if one.id == resource.id)

    def _container(self, resource: Resource, container: Container) -> Iterator[Action]:
        node, name = self._node(resource), shlex.quote(resource.name)
        stage = _STORE if container.network_mode == "host" else _WORKLOAD
        if container.name != resource.name:
            yield Action(node, resource.name, f"rename {container.name}", f"docker rename {container.id} {name}", stage)
        if container.running or container.status.startswith(_RESTARTING) or not self._can_start(node, container):
            return
        start = f"docker unpause {container.id} 2>/dev/null || docker start {container.id}"
        release = [
            f"docker network disconnect --force {network.id} {name} # of {container.id[:12]}"
            for network in self._snapshot.stored_networks
            if any(endpoint.name == resource.name for endpoint in network.endpoints)
        ]
        others = [key for key in self._snapshot.reports if key != node]
        what, remove = "remove, to be created again", f"docker rm --force {container.id}"
        if (node, start) not in self._tried:
            yield Action(node, resource.name, "start", start, stage)
        elif container.status == _NEVER_STARTED:
            # Its start failed: by what it is, which the update may change, or by something that is over.
            yield Action(node, resource.name, what, remove, stage)
        elif release and others and (others[0], script := "\n".join(release)) not in self._tried:
            yield Action(others[0], resource.name, "release its endpoint", script, _ENDPOINT)
        elif (node, again := f"docker start {container.id}") not in self._tried:
            yield Action(node, resource.name, "start again", again, stage)
        elif (node, anew := f"{_RESTART_ENGINE}; docker start {container.id}") not in self._tried:
            # An engine may have a port allocated to an endpoint that it lost with the store's data.
            yield Action(node, resource.name, "restart the engine, start again", anew, stage)
        else:
            yield Action(node, resource.name, what, remove, stage)

    def _can_start(self, node: str, container: Container) -> bool:
        """Not without the store, or while the container whose network stack it shares does not run.

        Where that is gone, an update makes both. An engine with another store knows no network of the lab until the
        update has put its configuration back.
        """
        engine = self._snapshot.reports[node].engine
        away = engine is None or engine.store != self._snapshot.expected.store or self._snapshot.led_store is None
        if container.network_mode != "host" and away:
            return False
        owner = container.shares_network_of
        containers = self._snapshot.reports[node].containers or ()
        return owner is None or any(one.id == owner and one.running for one in containers)

    @property
    def _store_is_empty(self) -> bool:
        """Whether the store has none of the lab's networks."""
        wanted = any(one.type == DOCKER_NETWORK and node_of(one) for one in self._state.resources)
        store = self._snapshot.led_store
        return wanted and store is not None and not store.networks

    def _lost_store(self) -> Iterator[Action]:
        """Engines remember address pools that a store without data does not know."""
        if self._store_is_empty:
            for key, report in self._snapshot.reports.items():
                if report.engine is not None:
                    # Their networks are gone, and an engine that removes them later keeps their ports.
                    on_node = [one for resource, one in self._containers() if self._node(resource) == key]
                    lost = " ".join(one.id for one in on_node if one.network_mode != "host")
                    script = f"{f'docker rm --force {lost}; ' if lost else ''}{_RESTART_ENGINE}"
                    what = "it lost its data: remove the workloads, restart the engine"
                    yield Action(key, "store", what, script, _ENGINE)

    def _lost_networks(self) -> Iterator[Action]:
        """An engine with an endpoint on a network that the store does not have keeps the namespace, and its VNI:
        ``error creating vxlan interface: file exists`` for the next network that gets that one."""
        lost = {one.id for one in self._lost() if _is_overlay(one)}
        for key, report in self._snapshot.reports.items():
            holding = [
                one.id for one in report.containers or () if any(each.network_id in lost for each in one.endpoints)
            ]
            if holding and not self._store_is_empty:
                script = f"docker rm --force {' '.join(holding)}; {_RESTART_ENGINE}"
                yield Action(key, "engine", "remove workloads of a lost network, restart", script, _ENGINE)

    def _lost(self) -> Iterator[Resource]:
        """Overlays that the store does not have, and other networks that their engine does not have, of nodes that
        answer."""
        store = self._snapshot.led_store
        stored = {one.id for one in store.networks} if store else None
        for one in self._state.resources:
            report = self._snapshot.reports.get(self._node(one))
            if one.type != DOCKER_NETWORK or report is None or report.containers is None:
                continue
            listed = {network.id for network in report.networks} if report.networks is not None else None
            known = stored if _is_overlay(one) else listed
            if known is not None and one.id not in known:
                yield one

    def start_engine(self, finding: Finding) -> Iterator[Action]:
        # One that is activating waits for the store: starting it waits as well.
        script = f"{_START_ENGINE} systemctl start docker.socket docker.service"
        yield Action(finding.subject, "engine", "start", script, _ENGINE)

    def restart_engine(self, finding: Finding) -> Iterator[Action]:
        node = finding.subject.split(" on ")[-1]
        # One without an answer still starts.
        if self._snapshot.reports[node].engine is not None and not self._store_is_empty:
            yield Action(node, "engine", f"restart: {finding.id}", _RESTART_ENGINE, _ENGINE)

    def load_firewall(self, finding: Finding) -> Iterator[Action]:
        if ENGINE_RULES in finding.evidence:
            # Its unit loads the firewall's rules as well, after the engine's own.
            yield Action(finding.subject, "firewall", "restart the engine", _RESTART_ENGINE, _ENGINE)
        elif FIREWALL_RULES in finding.evidence:
            script = f"systemctl reload-or-restart {firewall.UNIT}"
            yield Action(finding.subject, "firewall", "load its rules", script, _ENGINE)

    def recover_server(self, _finding: Finding) -> Iterator[Action]:
        """A single server that was one of several waits for them: Consul's own recovery makes it the only peer."""
        expected = self._snapshot.expected
        backend = expected.store_backend
        if expected.servers == 1 and backend and backend.agents:
            node = expected.store_nodes[0]
            yield _only_peer(backend, node, expected.nodes[node])

    def repair_engine(self, finding: Finding) -> Iterator[Action]:
        yield Action(finding.subject, "engine", "repair", f"{watchdog.SCRIPT} repair", _ENGINE)

    def start_watchdog(self, finding: Finding) -> Iterator[Action]:
        unit = watchdog.PATH_UNIT
        script = f"systemctl reset-failed {unit}; systemctl enable -q {unit}; systemctl restart {unit}"
        yield Action(finding.subject, "watchdog", "start", script, _ENGINE)

    def announce(self, finding: Finding) -> Iterator[Action]:
        """Its heartbeat registers it again, and the others join what is new to them."""
        expected = self._snapshot.expected
        node = finding.subject.split(" - ")[0]
        yield Action(node, "gossip", "announce again", _forget(expected.advertise[node]), _GOSSIP)

    def forget_node(self, finding: Finding) -> Iterator[Action]:
        if self._snapshot.reports:
            node, script = next(iter(self._snapshot.reports)), _forget(finding.evidence)
            yield Action(node, finding.evidence, "remove from the store", script, _GOSSIP)

    def release_endpoint(self, finding: Finding) -> Iterator[Action]:
        """Of a node that is gone, or of a container that is: from another node, which has no such container."""
        network, _, name = finding.subject.partition("/")
        for stored in self._snapshot.stored_networks:
            for endpoint in stored.endpoints if stored.name == network else ():
                if endpoint.name != name:
                    continue
                owner = self._snapshot.expected.node_at(endpoint.locator)
                report = self._snapshot.reports.get(owner or "")
                containers = report.containers if report is not None else None
                if owner is not None and containers is None:
                    continue
                if any(one.name == name for one in containers or ()):
                    continue  # it is started, and takes its endpoint back
                others = [key for key in self._snapshot.reports if key != owner] or list(self._snapshot.reports)
                # Another endpoint of that name is another fault.
                script = f"docker network disconnect --force {stored.id} {shlex.quote(name)} # {endpoint.id[:12]}"
                if others:
                    yield Action(others[0], finding.subject, "release the endpoint", script, _ENDPOINT)

    def restart_workload(self, finding: Finding) -> Iterator[Action]:
        """The containers that the finding names."""
        names = set(re.split(r"[/ ,]+", f"{finding.subject} {finding.evidence}"))
        for resource, container in self._containers():
            node = self._node(resource)
            ours = finding.subject.endswith(f" on {node}") or " on " not in finding.subject
            if container.name in names and container.running and ours and self._can_start(node, container):
                script = f"docker restart -t 1 {container.id}"
                yield Action(node, container.name, f"restart: {finding.id}", script, _WORKLOAD)

    def set_up(self, finding: Finding) -> Iterator[Action]:
        """Interfaces and devices of the finding that are down."""
        for step in repair.devices_down(self._snapshot):
            if finding.subject in (step.subject, f"{step.subject} on {step.node}"):
                yield Action(step.node, step.subject, step.reason, shlex.join(step.command), ENTRY)

    def sync_peers(self, finding: Finding) -> Iterator[Action]:
        node = finding.subject.split(" on ")[-1]
        yield Action(node, "peer entries", "add those of the store", f"{watchdog.SCRIPT} sync-peers", ENTRY)

    def remove_entries(self, finding: Finding) -> Iterator[Action]:
        name, _, node = finding.subject.partition(" on ")
        for network, key, namespace in self._snapshot.namespaces():
            if (network.name, key) != (name, node):
                continue
            addresses, macs = stale_entries(network, namespace)
            enter = f"nsenter --net={namespace.file}"
            device = next(iter(namespace.devices), "vxlan0")
            commands = [f"{enter} ip neigh del {one} dev {device}" for one in sorted(addresses)]
            commands += [f"{enter} bridge fdb del {one} dev {device}" for one in sorted(macs)]
            yield Action(node, name, "remove peer entries that the store does not have", "; ".join(commands), ENTRY)

    # -- resources -----------------------------------------------------------------------------

    def gone(self) -> Iterator[Resource]:
        """Of nodes whose engine answers: containers that it does not have, overlays that the store does not have, and
        networks of its own that it does not have.

        With a container the volumes and images of its node: what removes all of one often removes the others.
        """
        lost = set(self._lost())
        reported = {
            key: {one.id for one in report.containers}
            for key, report in self._snapshot.reports.items()
            if report.containers is not None
        }
        missing = {
            one
            for one in self._state.resources
            if one.type == CONTAINER and one.id and one.id not in reported.get(self._node(one), {one.id})
        }
        nodes = {self._node(one) for one in missing}
        for one in self._state.resources:
            beside = one.type in (DOCKER_VOLUME, IMAGE) and self._node(one) in nodes
            if one in missing or one in lost or beside:
                yield one

    def moved(self) -> Iterator[Resource]:
        """Containers that got an address, or another one, when they started; checks expect what the state has."""
        for resource, container in self._containers():
            addresses = {one.address for one in container.endpoints if one.address}
            if container.running and addresses != resource.addresses:
                yield resource

    def commands(self, findings: Collection[Finding]) -> Iterator[str]:
        """The engine's configuration of a node whose files are not those of the last update."""
        nodes = {finding.subject for finding in findings if finding.id in _CONFIGURED}
        names = {roles.resource_name(node, roles.ENGINE) for node in nodes}
        return (one.urn for one in self._state.resources if one.logical_name in names)

    def _node(self, resource: Resource) -> str:
        """Empty for a resource that is on no node of the settings."""
        return self._nodes.get(node_of(resource) or "", "")


_BY_FINDING: dict[str, Callable[[_Case, Finding], Iterator[Action]]] = {
    "engine-down": _Case.start_engine,
    "engine-in-removed-namespace": _Case.repair_engine,
    "engine-store-mismatch": _Case.restart_engine,
    "network-not-visible": _Case.restart_engine,
    "network-orphaned": _Case.restart_engine,
    "node-not-registered": _Case.restart_engine,
    "store-no-leader": _Case.recover_server,
    "watchdog-down": _Case.start_watchdog,
    "configuration-changed": _Case.load_firewall,
    "gossip-partition": _Case.announce,
    "node-unexpected": _Case.forget_node,
    "endpoint-orphaned": _Case.release_endpoint,
    "endpoint-stale": _Case.release_endpoint,
    **dict.fromkeys(
        (
            "endpoint-mismatch",
            "endpoint-not-registered",
            "interface-missing",
            "veth-detached",
            "vni-mismatch",
            "namespace-missing",
            "shared-sandbox-stale",
            "gateway-endpoint-missing",
        ),
        _Case.restart_workload,
    ),
    **dict.fromkeys(
        ("neighbor-mismatch", "fdb-mismatch", "peer-entry-incomplete", "peer-entry-missing"), _Case.sync_peers
    ),
    "peer-entry-stale": _Case.remove_entries,
    "interface-down": _Case.set_up,
    "device-down": _Case.set_up,
}
