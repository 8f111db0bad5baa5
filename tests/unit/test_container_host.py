"""What this machine gives to nodes as containers, from its bounding set, its cgroups and its kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.config.settings import parse
from overlab.platform import container_host, debian, docker_info, hypervisors, preflight
from overlab.platform.preflight import PartReport

EVERYTHING = (1 << 41) - 1
RESOURCE = 1 << 24


@pytest.fixture(autouse=True)
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with every capability and kernel feature, on which no cgroups are mounted yet."""
    monkeypatch.setattr(container_host, "_CGROUPS", tmp_path)
    monkeypatch.setattr(container_host, "_every_capability", lambda: EVERYTHING)
    give(monkeypatch, EVERYTHING)
    monkeypatch.setattr(container_host, "_works", lambda _: True)
    return tmp_path


def give(monkeypatch: pytest.MonkeyPatch, bounding: int) -> None:
    monkeypatch.setattr(container_host, "_bounding_set", lambda: bounding)


def test_privileged_works_only_with_every_capability_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert container_host.detect().privileged
    give(monkeypatch, EVERYTHING & ~RESOURCE)
    assert not container_host.detect().privileged


def test_capabilities_are_those_of_the_bounding_set_that_engine_20_10_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set(container_host.detect().capabilities)
    assert len(names) == 38
    assert not names & {"PERFMON", "BPF", "CHECKPOINT_RESTORE"}
    give(monkeypatch, EVERYTHING & ~RESOURCE)
    assert names - set(container_host.detect().capabilities) == {"SYS_RESOURCE"}
    # Numbers of linux/capability.h.
    numbers = {0: "CHOWN", 7: "SETUID", 12: "NET_ADMIN", 21: "SYS_ADMIN", 27: "MKNOD", 31: "SETFCAP", 37: "AUDIT_READ"}
    for number, name in numbers.items():
        give(monkeypatch, 1 << number)
        assert container_host.detect().capabilities == (name,)


def test_the_bounding_set_is_this_processes_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd")]
    assert container_host._bounding_set() == int(line.split(":")[1], 16)
    assert container_host._bounding_set() <= container_host._every_capability()


@pytest.mark.parametrize(
    ("mounted", "namespace"),
    [
        (["cgroup.controllers", "cgroup.procs"], "private"),
        (["memory/", "cpu/", "systemd/"], "host"),
        (["memory/", "cpu/", "unified/cgroup.controllers"], "host"),
    ],
    ids=["version 2", "version 1", "hybrid"],
)
def test_the_cgroup_namespace_follows_from_the_mounted_version(
    cgroups: Path, mounted: list[str], namespace: str
) -> None:
    for name in mounted:
        (cgroups / name).parent.mkdir(exist_ok=True)
        (cgroups / name).mkdir() if name.endswith("/") else (cgroups / name).write_text("")
    assert container_host.detect().cgroup_namespace == namespace
    assert list(container_host.missing()) == []


def test_no_cgroups_are_missing(cgroups: Path) -> None:
    [missing] = container_host.missing()
    assert "/sys/fs/cgroup" in missing
    (cgroups / "cpu").mkdir()  # version 1 without the memory controller: no node could be limited
    assert list(container_host.missing()) == [missing]


def test_missing_capabilities_are_named_and_others_are_not_needed(
    cgroups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cgroups / "memory").mkdir()
    give(monkeypatch, EVERYTHING & ~(1 << 12 | 1 << 27 | RESOURCE))
    assert list(container_host.missing()) == ["capabilities MKNOD, NET_ADMIN"]


@pytest.mark.parametrize("name", sorted(container_host.PROBES))
def test_a_failing_probe_is_named(cgroups: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (cgroups / "memory").mkdir()
    monkeypatch.setattr(container_host, "_works", lambda probe: probe != container_host.PROBES[name])
    assert list(container_host.missing()) == [f"the kernel's {name}"]


@pytest.mark.root
def test_a_probe_leaves_nothing_and_its_exit_code_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    before = Path("/proc/net/dev").read_text().count(":")
    assert container_host._works(container_host.PROBES["veth"])
    assert Path("/proc/net/dev").read_text().count(":") == before
    assert not container_host._works("ip link add probe type nosuchtype")
    monkeypatch.setattr(container_host, "_LIMIT_S", 0.2)
    assert not container_host._works("sleep 10")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert not container_host._works("true")


# -- prerequisites ---------------------------------------------------------------------------------


def test_the_report_says_how_nodes_run(cgroups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cgroups / "memory").mkdir()
    ok = PartReport("nodes as containers", "ok", "privileged, cgroup namespace host")
    assert preflight.containers(None) == ok
    give(monkeypatch, EVERYTHING & ~RESOURCE)
    assert preflight.containers(None).found == "37 capabilities, cgroup namespace host"


def test_the_report_lists_everything_that_is_missing_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_host, "_works", lambda probe: "vxlan" not in probe)
    give(monkeypatch, EVERYTHING & ~(1 << 21))
    found = preflight.containers(None)
    assert found.status == "missing"
    assert all(text in found.found for text in ("capabilities SYS_ADMIN", "/sys/fs/cgroup", "the kernel's vxlan"))
    assert "machine.kind to vm" in str(found.remedy)


@pytest.mark.parametrize(("kind", "asked"), [("container", True), ("vm", False)])
def test_only_a_lab_of_containers_needs_what_containers_need(kind: str, asked: bool) -> None:
    settings = parse({"machine": {"kind": kind}, "nodes": {"docker01": {}}}, "t")
    parts = [report.part for report in preflight.reports(settings, hypervisors.kind_of(settings))]
    assert ("nodes as containers" in parts) is asked
    uses = preflight.uses(settings, "bundled")
    assert uses == ("up", "bundled", kind)
    names = {package.name for package in debian.needed(uses)}
    assert {"mmdebstrap", "docker-registry", "iptables", "util-linux"} <= names
    assert ("docker.io" in names) is asked
    assert ("qemu-system-x86" in names) is not asked


def test_a_lab_on_the_machines_own_docker_needs_neither_root_nor_namespaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_host, "missing", lambda: pytest.fail("this user cannot look"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    host = f"unix://{tmp_path}/none.sock"
    raw = {"machine": {"kind": "container"}, "platform": {"docker_host": host}, "nodes": {"docker01": {}}}
    settings = parse(raw, "t")
    kind = hypervisors.kind_of(settings)
    assert (kind, preflight.uses(settings, kind)) == ("system", ("docker",))
    found = {report.part: report for report in preflight.reports(settings, kind)}
    assert found["rights"].status == "ok"
    assert found["nodes as containers"].found == f"no Docker answers at {host}: No such file or directory"
    monkeypatch.setattr(docker_info, "usable", lambda _: {"ServerVersion": "26.1.5"})
    assert preflight.containers(host).found == f"Docker 26.1.5 at {host}"
    assert {one.name for one in debian.needed(("docker",))} == {
        "python3-venv",
        "ca-certificates",
        "make",
        "openssh-client",
    }
