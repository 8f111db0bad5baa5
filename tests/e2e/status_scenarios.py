"""The read-only commands on a lab that is up; each check leaves the lab as it was."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.config.settings import Settings, parse, read_stack_file
from tests.e2e.lab import OVERLAB, PROJECT, Done, RealLab
from tests.unit import browser

PAGE_LIMIT_S = 150


def _settings(lab: RealLab) -> Settings:
    return parse(read_stack_file(PROJECT, lab.stack), lab.stack)


def document(done: Done) -> dict[str, Any]:
    """What ``overlab status --json`` printed."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def finding_ids(done: Done) -> set[str]:
    """Of ``overlab status --json``, without notes."""
    return {finding["id"] for finding in document(done)["findings"] if finding["severity"] != "note"}


def every_view_agrees(lab: RealLab) -> None:
    settings = _settings(lab)
    status = document(lab.overlab("status", "--json").ok())
    assert status["healthy"]
    nodes = {node["name"]: node for node in status["nodes"]}
    assert nodes.keys() == settings.nodes.keys()
    for name, node in nodes.items():
        state = (node["machine"], node["registered"], node["watchdog"], node["error"])
        assert state == ("running", True, "healthy", None)
        assert node["members"] == {peer: True for peer in nodes if peer != name}
    assert len(status["store"]["peers"]) == settings.store.servers
    assert len(status["store"]["nodes"]) == len(nodes)
    assert {network["name"] for network in status["networks"]} == set(settings.networks)
    for network in status["networks"]:
        attached = {name for name, spec in settings.workloads.items() if network["name"] in spec.networks}
        assert {endpoint["name"] for endpoint in network["endpoints"]} == attached
        assert network["vni"] >= 256
        assert set(network["vnis"].values()) - {None} == {network["vni"]}
        for endpoint in network["endpoints"]:
            assert endpoint["node"] == settings.placement[endpoint["name"]]
            assert endpoint["kernel"].pop(endpoint["node"]) == "local"
            assert set(endpoint["kernel"].values()) <= {"resolved", "unresolved", "absent"}
    screen = lab.overlab("status").ok().stdout
    assert f"lab {settings.name}: every view agrees" in screen


def a_removed_entry_is_reported_and_its_remedy_works(lab: RealLab) -> None:
    """docker01 loses its FDB entry for t2. Its engine never adds it again."""
    endpoint = _endpoint(lab, "t2")
    namespace = lab.on("docker01", f"ls /run/docker/netns/*-{endpoint['network'][:10]}").strip()
    entry = f"{endpoint['mac']} dev vxlan0 dst {_settings(lab).nodes[endpoint['node']].address} self"
    try:
        lab.on("docker01", f"docker exec t1 ping -c 1 t2 && nsenter --net={namespace} bridge fdb del {entry}")
        done = lab.overlab("status", "--json")
        assert done.code == 1
        assert finding_ids(done) == {"peer-entry-incomplete"}
        (finding,) = [one for one in document(done)["findings"] if one["id"] == "peer-entry-incomplete"]
        assert finding["subject"] == "ov_net1/t2 on docker01"
        remedy = finding["remedy"].removeprefix(f"overlab --stack {lab.stack} exec docker01 -- ")
        lab.on("docker01", f"{remedy} && docker exec t1 ping -c 1 t2")
        assert finding_ids(lab.overlab("status", "--json").ok()) == set()
    finally:
        lab.on("docker01", f"nsenter --net={namespace} bridge fdb replace {entry} permanent")


def _endpoint(lab: RealLab, name: str) -> dict[str, Any]:
    for network in document(lab.overlab("status", "--json"))["networks"]:
        for endpoint in network["endpoints"]:
            if endpoint["name"] == name:
                return {**endpoint, "network": network["id"]}
    raise AssertionError(f"the store has no endpoint {name}")


def an_unreachable_node_is_reported(lab: RealLab) -> None:
    """The other nodes are still in the snapshot. The caller makes docker03 unreachable."""
    done = lab.overlab("status", "--json")
    assert done.code == 1
    assert finding_ids(done) == {"node-unreachable"}
    nodes = {node["name"]: node for node in document(done)["nodes"]}
    assert "Connection refused" in nodes["docker03"]["error"]
    assert nodes["docker01"]["engine"].startswith("20.10")


def the_model_has_every_sandbox(lab: RealLab, owner: str, sharing: str) -> None:
    settings = _settings(lab)
    node = settings.placement[owner]
    models = json.loads(lab.overlab("inspect", "cnm", "--json").ok().stdout)
    assert models.keys() == settings.nodes.keys()
    sandboxes = {sandbox["containers"][0]: sandbox for model in models.values() for sandbox in model["sandboxes"]}
    assert sandboxes.keys() == {name for name, spec in settings.workloads.items() if not spec.shares_network_of}
    assert sandboxes[owner]["containers"] == [owner, sharing]
    for name, sandbox in sandboxes.items():
        networks = [endpoint["network"] for endpoint in sandbox["endpoints"] if not endpoint["gateway"]]
        assert sorted(networks) == sorted(settings.workloads[name].networks)
        assert all(re.match(r"veth\w+ on ", endpoint["peer"]) for endpoint in sandbox["endpoints"])
    drawn = lab.overlab("inspect", "cnm", node).ok().stdout
    assert f"of {owner}, shared by {sharing} (one sandbox, 2 containers)" in drawn
    others = [other for other in settings.nodes if other != node]
    assert not [other for other in others if re.search(rf"^{other}$", drawn, re.MULTILINE)]


@contextlib.contextmanager
def consul_ui(lab: RealLab, scratch: Path) -> Iterator[str]:
    """URL of the Consul UI, as ``overlab ui`` prints it; interrupted at the end."""
    said = scratch / "ui.txt"
    with said.open("w") as errors:
        command = [str(OVERLAB), "--stack", lab.stack, "ui", "--print"]
        process = subprocess.Popen(
            command, cwd=PROJECT, env=lab.environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        # It ends by itself where the store cannot be reached.
        yield process.stdout.readline().strip() or said.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, said.read_text()
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def the_consul_ui_shows_the_nodes(lab: RealLab, scratch: Path) -> None:
    nodes = {f"{node.address}:2376" for node in _settings(lab).nodes.values()}
    with consul_ui(lab, scratch) as url:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url), url
        page = browser.load(url, scratch, "1280,720", *browser.ON_LOOPBACK)
        (scratch / "consul-nodes.png").write_bytes(page.screenshot)
    assert set(re.findall(r"\b[0-9.]+:2376", page.dom)) == nodes
    assert "Consul 1." in page.dom


def plain_ssh_reaches_every_node(lab: RealLab, scratch: Path) -> None:
    file = scratch / "ssh_config"
    file.write_text(lab.overlab("ssh-config").ok().stdout)
    written = lab.overlab("ssh-config", "--write").ok().stdout.strip()
    for node in _settings(lab).nodes:
        for config in (str(file), written):
            done = subprocess.run(["ssh", "-F", config, node, "hostname"], capture_output=True, text=True, timeout=90)
            assert (done.returncode, done.stdout.strip()) == (0, node), done.stderr


def the_docker_cli_reaches_each_engine(lab: RealLab) -> None:
    assert shutil.which("docker"), "docker.io is among the packages for tests"
    for node in _settings(lab).nodes:
        exports = lab.overlab("context", node).ok().stdout
        assert _docker(exports) == node


def the_docker_cli_uses_tls(lab: RealLab) -> None:
    """From inside the lab's network, where the address is."""
    exports = lab.overlab("context", "docker02", "--tls").ok().stdout
    inside = ("nsenter", f"--net=/run/netns/overlab-{lab.stack}")
    assert _docker(exports, *inside) == "docker02"
    without = "\n".join(line for line in exports.splitlines() if "CERT_PATH" not in line)
    refused = subprocess.run(
        ["sh", "-euc", f"{without}\nHOME=/nonexistent {' '.join(inside)} docker info"], capture_output=True, timeout=90
    )
    assert refused.returncode != 0


def _docker(exports: str, *prefix: str) -> str:
    """The name of the engine that ``docker info`` talks to."""
    script = f"{exports}\n{' '.join([*prefix, 'docker'])} info --format '{{{{.Name}}}}'"
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
