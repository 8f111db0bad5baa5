"""What runs on a node, as far as it can be tested without one."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlab.inspect import node_collector
from overlab.inspect.node_report import Container, EngineNetwork, NodeReport, OverlayNamespace, SandboxNamespace
from overlab.inspect.snapshot import TIMEOUT

SCRIPT = Path(node_collector.__file__)
NETWORK = "0123456789"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)


@pytest.fixture
def overlay() -> Iterator[Path]:
    """Namespaces as libnetwork makes them: a bridge with a VXLAN device, and a veth pair into a sandbox."""
    name, sandbox = f"{os.getpid()}-{NETWORK}", f"{os.getpid()}abcdef"
    try:
        for one in (name, sandbox):
            _ip("netns", "add", one)
        _ip("-n", name, "link", "add", "br0", "type", "bridge")
        try:
            vxlan = "type vxlan id 259 proxy l2miss l3miss dstport 4789".split()
            _ip("-n", name, "link", "add", "vxlan0", *vxlan)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this kernel has no VXLAN: {error.stderr}")
        veth = "link add veth0 type veth peer name eth0 address 02:42:0a:00:00:02 mtu 1450 netns".split()
        _ip("-n", name, *veth, sandbox)
        for port in ("vxlan0", "veth0"):
            _ip("-n", name, "link", "set", port, "master", "br0")
        for device in ("br0", "vxlan0", "veth0"):
            _ip("-n", name, "link", "set", device, "up")
        _ip("-n", sandbox, "address", "add", "10.0.0.2/24", "dev", "eth0")
        _ip("-n", sandbox, "link", "set", "eth0", "up")
        _ip("-n", sandbox, "route", "add", "default", "via", "10.0.0.1")
        _ip("-n", name, *"neigh add 10.0.0.3 lladdr 02:42:0a:00:00:03 dev vxlan0 nud permanent".split())
        words = "fdb add 02:42:0a:00:00:03 dev vxlan0 dst 10.99.0.12 self permanent".split()
        subprocess.run(["bridge", "-n", name, *words], check=True, timeout=20)
        yield Path("/run/netns") / name
    finally:
        for one in (name, sandbox):
            subprocess.run(["ip", "netns", "delete", one], check=False, capture_output=True, timeout=20)


@pytest.fixture
def node() -> node_collector.NodeCollector:
    return node_collector.NodeCollector("http://127.0.0.1:1", "no-such-bridge", "/no/such/watchdog", 30)


def _whole(node: node_collector.NodeCollector) -> NodeReport:
    return NodeReport.model_validate({name: value for part in node.report() for name, value in part.items()})


@pytest.mark.root
@needs_root
def test_a_network_namespace_is_read_completely(overlay: Path, node: node_collector.NodeCollector) -> None:
    namespace = OverlayNamespace.model_validate(node._overlay_namespace(overlay))
    assert namespace.network == NETWORK
    assert namespace.devices == {"vxlan0": 259}
    assert [port.name for port in namespace.ports] == ["veth0"]
    assert [(entry.mac, entry.destination) for entry in namespace.fdb] == [("02:42:0a:00:00:03", "10.99.0.12")]
    assert [(entry.address, entry.mac) for entry in namespace.neighbors] == [("10.0.0.3", "02:42:0a:00:00:03")]


@pytest.mark.root
@needs_root
def test_a_sandbox_is_read_and_its_veth_peer_is_found(overlay: Path, node: node_collector.NodeCollector) -> None:
    file = str(overlay.with_name(f"{os.getpid()}abcdef"))
    node._containers = [{"running": True, "network_mode": "ov_net1", "sandbox_key": file}]
    sandbox = SandboxNamespace.model_validate(node.sandboxes()[file])
    (eth0,) = sandbox.interfaces
    assert (eth0.name, eth0.mac, eth0.mtu, str(eth0.addresses[0])) == ("eth0", "02:42:0a:00:00:02", 1450, "10.0.0.2/24")
    assert sandbox.default_route == "10.0.0.1"
    assert eth0.peer in [port["index"] for port in node._overlay_namespace(overlay)["ports"]]


ENGINE = {
    "/containers/json?all=1": [
        {
            "Id": "c1",
            "Names": ["/peer/alias", "/t1"],
            "Status": "Up 2 minutes",
            "State": "running",
            "HostConfig": {"NetworkMode": "ov_net1"},
            "Ports": [{"PublicPort": 90, "PrivatePort": 80, "Type": "tcp"}, {"PrivatePort": 443, "Type": "tcp"}],
        }
    ],
    "/containers/c1/json": {
        "State": {"Pid": os.getpid()},
        "NetworkSettings": {
            "SandboxID": "s1",
            "SandboxKey": "/var/run/docker/netns/s1",
            "Networks": {
                "ov_net1": {
                    "NetworkID": "n1",
                    "EndpointID": "e1",
                    "IPAddress": "10.0.0.2",
                    "MacAddress": "02:42:0a:00:00:02",
                    "Aliases": None,
                }
            },
        },
    },
    "/networks": [
        {"Id": "n1", "Name": "ov_net1", "Driver": "overlay", "Scope": "global", "Internal": True, "IPAM": {}},
        {"Id": "n2", "Name": "docker_gwbridge", "Driver": "bridge"},
        {"Id": "n3", "Name": "bridge", "Driver": "bridge"},
    ],
    "/networks/n2": {
        "Id": "n2",
        "Name": "docker_gwbridge",
        "Driver": "bridge",
        "Scope": "local",
        "Internal": False,
        "IPAM": {"Config": [{"Subnet": "172.30.1.0/24", "Gateway": "172.30.1.1"}]},
        "Containers": {"c1": {"EndpointID": "e2", "Name": "gateway_s1", "MacAddress": "02:42:ac:1e:01:02"}},
    },
}


def test_the_engines_answers_become_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    node = node_collector.NodeCollector("http://127.0.0.1:1", "docker_gwbridge", "/no/such/watchdog", 30)
    monkeypatch.setattr(node, "_engine", lambda path, _limit_s=0: ENGINE[path])
    (t1,) = [Container.model_validate(container) for container in node.containers()]
    assert (t1.name, t1.running, t1.network_mode, t1.sandbox, t1.ports) == (
        "t1",
        True,
        "ov_net1",
        "s1",
        ("90->80/tcp",),
    )
    assert t1.network_namespace == Path("/proc/self/ns/net").stat().st_ino
    (endpoint,) = t1.endpoints
    assert endpoint.model_dump() == {
        "network": "ov_net1",
        "network_id": "n1",
        "id": "e1",
        "address": "10.0.0.2",
        "mac": "02:42:0a:00:00:02",
        "aliases": (),
    }
    overlay, bridge = [EngineNetwork.model_validate(network) for network in node.networks()]
    assert (overlay.name, overlay.internal, overlay.subnet, overlay.endpoints) == ("ov_net1", True, "", {})
    assert (bridge.subnet, bridge.gateway, bridge.scope) == ("172.30.1.0/24", "172.30.1.1", "local")
    assert bridge.endpoints["e2"].name == "gateway_s1"


def test_missing_parts_are_named_and_the_rest_is_reported(
    node: node_collector.NodeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_collector, "ENGINE_SOCKET", "/no/such/socket")
    monkeypatch.setattr(node_collector, "NAMESPACES", Path("/no/such/directory"))
    report = _whole(node)
    assert report.engine is None
    assert report.overlay_namespaces == ()
    assert report.gateway_ports == ()
    assert "No such file" in report.errors["engine"]
    assert "did not answer before" in report.errors["containers"]
    assert "Connection refused" in report.errors["store"]
    assert "watchdog" in report.errors


def test_the_configuration_is_compared_with_that_of_the_last_update(
    node: node_collector.NodeCollector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, rules = tmp_path / "daemon.json", tmp_path / "firewall.rules"
    file.write_text("{}")
    rules.write_text("*filter\n:OVERLAB - [0:0]\n-A OVERLAB -p icmp -j ACCEPT\nCOMMIT\n")
    (tmp_path / "manifest").write_text(f"{hashlib.sha256(b'{}').hexdigest()}  {file}\n")
    monkeypatch.setattr(node_collector, "MANIFEST", tmp_path / "manifest")
    monkeypatch.setattr(node_collector, "RULES", rules)
    answers = {"systemctl": "enabled\nenabled\nenabled\n", "iptables": ""}
    run = node._run
    monkeypatch.setattr(node, "_run", lambda *cmd, ok=(0,): answers.get(cmd[0]) or run(*cmd, ok=ok))
    loaded = ["-A INPUT -i lab0 -j OVERLAB", "-A FORWARD -j DOCKER-USER", "-A OVERLAB -p icmp -j ACCEPT"]
    answers["iptables"] = "\n".join(loaded)
    assert node.configuration() == []
    file.write_text("{}\n")
    answers |= {"systemctl": "disabled\nenabled\nenabled\n", "iptables": "\n".join(loaded[:1])}
    assert node.configuration() == [
        f"{file} was changed",
        "docker.service is disabled",
        "iptables: not the rules of overlab-firewall.service",
        "iptables: not the rules of the engine",
    ]


def test_nothing_is_collected_after_the_limit() -> None:
    late = node_collector.NodeCollector("http://127.0.0.1:1", "no-such-bridge", "/no/such/watchdog", 0)
    report = _whole(late)
    assert {"engine", "unit", "store", "watchdog"} <= report.errors.keys()
    assert report.errors["store"] == f"{TIMEOUT} 0 s"


def test_it_runs_on_a_nodes_python_without_the_project() -> None:
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 9))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {str(name).split(".")[0] for name in imported} <= sys.stdlib_module_names | {"__future__"}


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (["-A INPUT -p udp -m udp --dport 4789 -j DROP"], 1),
        (["-A INPUT -p tcp -m tcp --dport 7946 -j REJECT --reject-with icmp-port-unreachable"], 1),
        (["-A INPUT -s 192.0.2.1/32 -p udp -m udp --dport 4789 -j DROP"], 0),
        (["-A INPUT -p udp -m udp --dport 4789 -j ACCEPT", "-A INPUT -p udp -m udp --dport 4789 -j DROP"], 0),
        (["-A OVERLAB-WORKLOADS -d 192.0.2.0/24 -p udp -m udp --dport 4789 -j REJECT"], 0),
    ],
)
def test_rules_that_drop_overlay_packets_from_anywhere(
    rules: list[str], found: int, node: node_collector.NodeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "_run", lambda *_: "\n".join(rules))
    assert len(node.dropping_rules()) == found
