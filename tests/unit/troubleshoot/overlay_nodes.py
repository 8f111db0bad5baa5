"""Two nodes without an engine: an underlay, and an overlay network between two sandboxes, as libnetwork makes them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from overlab.inspect.node_collector import NodeCollector
from overlab.inspect.node_report import (
    Container,
    ContainerEndpoint,
    Engine,
    EngineNetwork,
    ListedEndpoint,
    NodeReport,
    OverlayNamespace,
    SandboxNamespace,
)
from overlab.inspect.snapshot import ExpectedState, NodeAnswer, Snapshot

NEEDS = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(shutil.which("bridge") is None, reason="needs iproute2"),
]
NETWORK = "0123456789abcdef"
VNI = 4097
ADDRESS = {"a": "192.0.2.1", "b": "192.0.2.2"}
IP = {"a": "10.0.9.2", "b": "10.0.9.3"}
MAC = {"a": "02:42:0a:00:09:02", "b": "02:42:0a:00:09:03"}


def run(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


@dataclass
class OverlayNodes:
    """A :class:`Cluster` of the nodes ``a`` and ``b`` with the workloads ``ta`` and ``tb``."""

    name: str = "two"
    nodes: tuple[str, ...] = ("a", "b")

    def namespace(self, kind: str, node: str) -> str:
        """``node``, ``overlay`` or ``sandbox`` of a node."""
        return f"{os.getpid()}-{kind[0]}{node}"

    def file(self, kind: str, node: str) -> str:
        return f"/run/netns/{self.namespace(kind, node)}"

    def on(self, kind: str, node: str, command: str) -> str:
        return run("ip", "netns", "exec", self.namespace(kind, node), "sh", "-ec", command)

    def in_node(self, node: str, command: str) -> str:
        """As a node's own shell: with the files of the namespaces."""
        return run(*self.as_root(node, ["sh", "-ec", command]))

    def as_root(self, node: str, cmd: Sequence[str], *, connect_limit_s: int = 30) -> list[str]:
        # `ip netns exec` would hide the namespaces' files behind a mount of its own.
        return ["nsenter", f"--net={self.file('node', node)}", *cmd]

    def take_snapshot(self) -> Snapshot:
        answers = {node: NodeAnswer(report=self._report(node), error=None, seconds=0.0) for node in self.nodes}
        expected = ExpectedState(
            stack=self.name,
            attached=True,
            store="",
            servers=0,
            store_nodes=("a",),
            nodes=dict(ADDRESS),
            advertise={},
            networks={},
            workloads={},
        )
        return Snapshot(lab=self.name, expected=expected, machines={}, nodes=answers)

    def _report(self, node: str) -> NodeReport:
        collector = NodeCollector("", "none", "", 20)
        collector._containers = [{"running": True, "network_mode": "ov", "sandbox_key": self.file("sandbox", node)}]
        namespaces = []
        if self.namespace("overlay", node) in run("ip", "netns", "list"):
            found = collector._overlay_namespace(Path(self.file("overlay", node)))
            namespaces = [OverlayNamespace.model_validate({**found, "network": NETWORK[:10]})]
        name, address = f"t{node}", f"{IP[node]}/24"
        endpoint = ContainerEndpoint(
            network="ov", network_id=NETWORK, id=f"e{node}", address=IP[node], mac=MAC[node], aliases=()
        )
        listed = ListedEndpoint(name=name, mac=MAC[node], address=address, container=f"c{node}")
        container = Container(
            id=f"c{node}",
            name=name,
            status="Up",
            running=True,
            network_mode="ov",
            sandbox=f"s{node}",
            sandbox_key=self.file("sandbox", node),
            network_namespace=None,
            endpoints=(endpoint,),
            ports=(),
        )
        network = EngineNetwork(
            id=NETWORK,
            name="ov",
            driver="overlay",
            scope="swarm",
            internal=False,
            subnet=str(IPv4Interface(address).network),
            gateway="",
            vnis={str(IPv4Interface(address).network): VNI},
            peers=tuple(ADDRESS.values()),
            endpoints={f"e{node}": listed},
        )
        return NodeReport(
            hostname=node,
            engine=Engine(version="20.10.5", store="", advertise="", swarm_address=ADDRESS[node]),
            unit="active",
            store=None,
            containers=(container,),
            networks=(network,),
            sandboxes={file: SandboxNamespace.model_validate(one) for file, one in collector.sandboxes().items()},
            overlay_namespaces=tuple(namespaces),
            gateway_ports=(),
            gossip={},
            watchdog=None,
            errors=collector._errors,
        )

    # -- what libnetwork makes -------------------------------------------------------------------------

    def create(self) -> None:
        for node in self.nodes:
            for kind in ("node", "overlay", "sandbox"):
                run("ip", "netns", "add", self.namespace(kind, node))
        a, b = (self.namespace("node", node) for node in self.nodes)
        run("ip", "-n", a, "link", "add", "under0", "type", "veth", "peer", "name", "under0", "netns", b)
        for node in self.nodes:
            self._node(node)

    def _node(self, node: str) -> None:
        other = "b" if node == "a" else "a"
        own, overlay, sandbox = (self.namespace(kind, node) for kind in ("node", "overlay", "sandbox"))
        lines = f"""
            -n {own} address add {ADDRESS[node]}/24 dev under0
            -n {own} link set under0 up
            -n {own} link add vxlan0 type vxlan id {VNI} proxy l2miss l3miss dstport 4789
            -n {own} link set vxlan0 netns {overlay}
            -n {overlay} link add br0 type bridge
            -n {overlay} link add veth0 type veth peer name eth0 address {MAC[node]} mtu 1450 netns {sandbox}
            -n {overlay} link set vxlan0 mtu 1450 master br0 up
            -n {overlay} link set veth0 mtu 1450 master br0 up
            -n {overlay} link set br0 up
            -n {sandbox} address add {IP[node]}/24 dev eth0
            -n {sandbox} link set eth0 up
            -n {sandbox} link set lo up
            -n {overlay} neigh add {IP[other]} lladdr {MAC[other]} dev vxlan0 nud permanent
        """
        for line in lines.strip().splitlines():
            run("ip", *line.split())
        words = f"fdb add {MAC[other]} dev vxlan0 dst {ADDRESS[other]} self permanent".split()
        run("bridge", "-n", overlay, *words)

    def remove(self) -> None:
        for node in self.nodes:
            for kind in ("sandbox", "overlay", "node"):
                run("ip", "netns", "delete", self.namespace(kind, node), check=False)


@contextmanager
def overlay_nodes() -> Iterator[OverlayNodes]:
    made = OverlayNodes()
    try:
        made.create()
        yield made
    finally:
        made.remove()
