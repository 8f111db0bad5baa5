"""What a lab has on a real libvirtd beside its state: found, removed, refused, and never another lab's."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import libvirt
import pytest
from rich.console import Console

from components.config.platform import Hypervisor, Platform
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform.private_libvirtd import PrivateLibvirtd
from overlab.stack import leftovers, libvirt_objects
from overlab.stack.leftovers import Survey
from overlab.stack.state import DOMAIN, LIBVIRT_NETWORK, LIBVIRT_VOLUME, POOL, SEED, Resource, State

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network and mount namespaces"),
]

_POOL = "<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"
_NETWORK = "<network><name>{name}</name><bridge name='{bridge}'/></network>"
_VOLUME = (
    "<volume><name>{name}</name><capacity>65536</capacity><target><format type='{format}'/></target>{base}</volume>"
)
_BASE = "<backingStore><path>{path}</path><format type='qcow2'/></backingStore>"
_DISK = "<disk type='volume' device='disk'><source pool='{pool}' volume='{name}'/><target dev='vda'/></disk>"
_SEED = "<disk type='file' device='cdrom'><source file='{path}'/><target dev='hdd'/></disk>"
_DOMAIN = """
<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{disks}</devices></domain>
"""


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A libvirtd of the machine, as far as the labs are concerned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        daemon = PrivateLibvirtd(LabPaths(f"t-left-{os.getpid()}"), qemu_user="root")
        daemon.ensure(Progress(quiet=True))
        yield daemon.uri
        daemon.stop()
        shutil.rmtree(daemon.paths.run, ignore_errors=True)


@pytest.fixture
def host(uri: str, tmp_path: Path) -> Iterator[Host]:
    connection = libvirt.open(uri)
    try:
        yield Host(uri, connection, tmp_path)
    finally:
        for domain in connection.listAllDomains():
            if domain.isActive():
                domain.destroy()
            domain.undefine()
        for network in connection.listAllNetworks():
            if network.isActive():
                network.destroy()
            network.undefine()
        for pool in connection.listAllStoragePools():
            if pool.isActive():
                pool.destroy()
            pool.undefine()
        connection.close()


class Host:
    """Labs are put on it as Pulumi's libvirt provider does."""

    def __init__(self, uri: str, connection: Any, directory: Path) -> None:
        self.uri, self.connection, self.directory = uri, connection, directory

    def lab(self, name: str, node: str = "docker01", *, running: bool = False) -> State:
        """A lab of one machine; the state that knows all of it."""
        full = f"overlab-{name}"
        path = self.directory / full
        pool = self.connection.storagePoolDefineXML(_POOL.format(name=full, path=path))
        pool.build(0)
        pool.create(0)
        bridge = f"t{len(self.connection.listAllNetworks())}"
        network = self.connection.networkDefineXML(_NETWORK.format(name=full, bridge=bridge))
        base = pool.createXML(_VOLUME.format(name="base-1.qcow2", format="qcow2", base=""))
        backing = _BASE.format(path=base.path())
        disk = pool.createXML(_VOLUME.format(name=f"{node}-1.qcow2", format="qcow2", base=backing))
        seed = pool.createXML(_VOLUME.format(name=f"{node}-1.iso", format="raw", base=""))
        disks = _DISK.format(pool=full, name=disk.name()) + _SEED.format(path=seed.path())
        domain = self.connection.defineXML(_DOMAIN.format(name=f"{full}-{node}", disks=disks))
        if running:
            domain.create()
        return State(
            resources=(
                self.resource(POOL, pool.UUIDString(), full),
                self.resource(LIBVIRT_NETWORK, network.UUIDString(), full),
                self.resource(LIBVIRT_VOLUME, base.key(), base.name()),
                self.resource(LIBVIRT_VOLUME, disk.key(), disk.name()),
                self.resource(SEED, f"{seed.key()};a-uuid", seed.name()),
                self.resource(DOMAIN, domain.UUIDString(), f"{full}-{node}"),
            ),
            hypervisors=(self.uri,),
        )

    def resource(self, type_: str, id_: str, name: str) -> Resource:
        return Resource(f"urn:pulumi:t::overlab::{type_}::{name}", type_, id_, name, self.uri)

    def names(self) -> set[str]:
        pools = self.connection.listAllStoragePools()
        found = {f"pool {one.name()}" for one in pools}
        found |= {f"{one.name()}/{volume.name()}" for one in pools if one.isActive() for volume in one.listAllVolumes()}
        found |= {f"domain {one.name()}" for one in self.connection.listAllDomains()}
        return found | {f"network {one.name()}" for one in self.connection.listAllNetworks()}


def platform(*uris: str) -> Platform:
    """Of a lab on these hypervisors: all that is read of one here."""
    hypervisors = {f"h{n}": Hypervisor(uri=uri, pool_path="/x", domain_type="qemu") for n, uri in enumerate(uris)}
    return cast(Platform, SimpleNamespace(node_engine=None, hypervisors_by_name=hypervisors))


def survey(host: Host, lab: str, state: State, nodes: tuple[str, ...] = ()) -> Survey:
    return leftovers.survey(lab, platform(host.uri), state, nodes)


def removed(found: Survey) -> list[str]:
    """Remove the leftovers; the lines that say so."""
    out = io.StringIO()
    leftovers.remove_leftovers(found, Progress(Console(file=out, width=40)))
    return out.getvalue().splitlines()


def without(state: State, *types: str) -> State:
    return replace(state, resources=tuple(one for one in state.resources if one.type not in types))


def names(found: list[Any]) -> list[str]:
    return sorted(f"{one.kind} {one.name}" for one in found)


def test_nothing_is_found_where_the_state_has_everything(host: Host) -> None:
    state = host.lab("a", running=True)
    found = survey(host, "a", state, ("docker01",))
    assert (found.leftovers, found.foreign, found.gone, found.stopped) == ([], [], [], [])
    assert len(found.objects) == 6


def test_what_the_state_does_not_have_is_removed_with_a_line_each_and_the_other_lab_stays(host: Host) -> None:
    host.lab("a-b", running=True)
    other = host.names()
    state = host.lab("a", running=True)
    found = survey(host, "a", without(state, DOMAIN, LIBVIRT_NETWORK, LIBVIRT_VOLUME, SEED))
    lines = removed(found)
    assert lines[0] == f"removed domain overlab-a-docker01 on {host.uri}: the state does not have it"
    assert len(lines) == 5
    assert host.names() == {*other, "pool overlab-a"}
    assert found.gone == []


def test_a_lab_whose_name_begins_like_another_one_touches_nothing_of_it(host: Host) -> None:
    """``overlab-a-b-docker01`` is lab a-b's docker01, and would be lab a's b-docker01."""
    other = host.lab("a-b")
    state = host.lab("a")
    assert survey(host, "a", state).foreign == []
    found = survey(host, "a", state, ("docker01", "b-docker01"))
    assert names(found.foreign) == ["domain overlab-a-b-docker01"]
    assert found.leftovers == []
    with pytest.raises(OverlabError, match=r"overlab-a-b-docker01 on .*maybe another lab's\n  remedy: .*another name"):
        leftovers.refuse_foreign(found, "a")
    assert survey(host, "a-b", other).leftovers == []


def test_a_pool_of_the_name_that_no_state_knows_may_be_another_users(host: Host) -> None:
    host.lab("a")
    before = host.names()
    found = survey(host, "a", State())
    assert found.leftovers == []
    assert names(found.foreign) == ["domain overlab-a-docker01", "network overlab-a", "pool overlab-a"]
    assert removed(found) == []
    assert host.names() == before
    with pytest.raises(OverlabError, match=r"left: .*\n  remedy: if they are this lab's: virsh -c .* undefine"):
        leftovers.refuse_left(found, "a")


def test_what_an_update_was_killed_in_creating_is_this_labs(host: Host) -> None:
    host.lab("a", running=True)
    killed = State(creating=(host.resource(POOL, "", "overlab-a"),))
    assert len(removed(survey(host, "a", killed))) == 6
    assert host.names() == set()
    assert not (host.directory / "overlab-a").exists()


def test_a_network_alone_that_was_in_creation_is_removed(host: Host) -> None:
    host.connection.networkDefineXML(_NETWORK.format(name="overlab-a", bridge="t9"))
    killed = State(creating=(host.resource(LIBVIRT_NETWORK, "", "overlab-a"),))
    assert names(survey(host, "a", State()).foreign) == ["network overlab-a"]
    assert len(removed(survey(host, "a", killed))) == 1
    assert host.names() == set()


def test_on_the_bundled_platform_everything_is_this_labs(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.lab("a", running=True)
    monkeypatch.setattr(PrivateLibvirtd, "uri", host.uri)
    assert len(removed(survey(host, "a", State()))) == 6
    assert host.names() == set()


def test_volumes_that_the_state_builds_on_stay(host: Host) -> None:
    """Not first-boot data: no provider adopts it."""
    state = host.lab("a")
    only_base = replace(state, resources=tuple(one for one in state.resources if not one.name.startswith("base-")))
    assert survey(host, "a", only_base).leftovers == []
    found = survey(host, "a", without(state, LIBVIRT_VOLUME, SEED))
    assert names(found.leftovers) == ["volume docker01-1.iso"]
    removed(found)
    assert {"overlab-a/base-1.qcow2", "overlab-a/docker01-1.qcow2"} < host.names()


def test_what_was_removed_by_hand_is_gone_and_what_was_shut_off_stopped(host: Host) -> None:
    state = host.lab("a")
    assert [one.type for one in survey(host, "a", state).stopped] == [DOMAIN]
    host.connection.lookupByName("overlab-a-docker01").undefine()
    host.connection.networkLookupByName("overlab-a").undefine()
    found = survey(host, "a", state)
    assert sorted(one.type for one in found.gone) == [DOMAIN, LIBVIRT_NETWORK]
    assert (found.stopped, found.leftovers) == ([], [])


def test_a_pool_whose_directory_is_gone_can_be_deleted_again(host: Host) -> None:
    state = host.lab("a")
    shutil.rmtree(host.directory / "overlab-a")
    found = survey(host, "a", state)
    assert sorted(one.type for one in found.gone) == [SEED, LIBVIRT_VOLUME, LIBVIRT_VOLUME]
    pool = host.connection.storagePoolLookupByName("overlab-a")
    pool.destroy()
    pool.delete(0)


def test_a_hypervisor_that_does_not_answer_is_named_before_anything_is_done(host: Host, tmp_path: Path) -> None:
    host.lab("a")
    silent = f"qemu:///system?socket={tmp_path}/none"
    with pytest.raises(OverlabError, match=f"hypervisor {silent.replace('?', '.')} does not answer"):
        leftovers.survey("a", platform(host.uri, silent), State())


def test_a_hypervisor_that_only_the_state_knows_is_looked_at_too(host: Host) -> None:
    state = host.lab("a")
    found = leftovers.survey("a", platform(), without(state, DOMAIN))
    assert names(found.leftovers) == ["domain overlab-a-docker01"]


def test_what_cannot_be_removed_is_named(host: Host) -> None:
    host.lab("a")
    (host.directory / "overlab-a" / "kept").mkdir()
    (host.directory / "overlab-a" / "kept" / "file").touch()
    killed = State(creating=(host.resource(POOL, "", "overlab-a"),))
    with pytest.raises(OverlabError, match=r"(volume kept|pool overlab-a) on .* cannot be removed: "):
        removed(survey(host, "a", killed))


# -- remedies --------------------------------------------------------------------------------------


def follow(commands: str | None) -> None:
    """Run the commands of a remedy as they are printed."""
    assert commands
    subprocess.run(["sh", "-c", commands], check=False, timeout=60)


@pytest.mark.parametrize("machine", ["shut off", "running", "saved"])
def test_the_printed_commands_remove_what_may_be_another_labs(host: Host, machine: str) -> None:
    state = host.lab("a", running=machine != "shut off")
    if machine == "saved":
        host.connection.lookupByName("overlab-a-docker01").managedSave()
    with pytest.raises(OverlabError) as raised:
        leftovers.refuse_left(survey(host, "a", State()), "a")
    assert raised.value.remedy is not None
    follow(raised.value.remedy.removeprefix("if they are this lab's: ").removesuffix("; else leave them"))
    assert host.names() == set()
    assert not (host.directory / "overlab-a").exists()
    leftovers.refuse_foreign(survey(host, "a", State(), ("docker01",)), "a")
    # all of the names are free again
    assert len(host.lab("a").resources) == len(state.resources)


def test_the_printed_commands_remove_a_pool_that_does_not_run(host: Host) -> None:
    host.lab("a")
    host.connection.storagePoolLookupByName("overlab-a").destroy()
    for one in survey(host, "a", State()).foreign:
        follow(one.remedy)
    assert host.names() == set()
    assert not (host.directory / "overlab-a").exists()


def test_the_directory_of_another_users_pool_is_not_in_the_commands(host: Host) -> None:
    pool = host.connection.storagePoolDefineXML(_POOL.format(name="overlab-a", path=host.directory))
    pool.create(0)
    [found] = survey(host, "a", State()).foreign
    follow(found.remedy)
    assert host.names() == set()
    assert host.directory.is_dir()


def test_the_printed_command_removes_what_libvirt_refuses_to(host: Host) -> None:
    host.lab("a")
    (host.directory / "overlab-a" / "kept").mkdir()
    (host.directory / "overlab-a" / "kept" / "file").touch()
    killed = State(creating=(host.resource(POOL, "", "overlab-a"),))
    with pytest.raises(OverlabError, match=r"volume kept on .* cannot be removed: ") as raised:
        removed(survey(host, "a", killed))
    follow(raised.value.remedy)
    removed(survey(host, "a", killed))
    assert host.names() == set()
    assert not (host.directory / "overlab-a").exists()


def test_the_printed_commands_start_a_pool(host: Host) -> None:
    state, directory = host.lab("a"), host.directory / "overlab-a"
    shutil.rmtree(directory)
    directory.touch()
    with pytest.raises(OverlabError, match="the storage pool overlab-a cannot be started") as raised:
        survey(host, "a", state)
    assert raised.value.remedy is not None
    make_room, commands = raised.value.remedy.split("; then: ")
    assert make_room == f"make room for its directory {directory}"
    directory.unlink()
    follow(commands)
    assert host.connection.storagePoolLookupByName("overlab-a").isActive()
    assert survey(host, "a", state).leftovers == []


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        ("qemu:///system?socket=/run/x", "rm -r '/pools/a b'"),
        ("qemu+ssh://root@hv1:2222/system?keyfile=/k", "ssh ssh://root@hv1:2222 rm -r '/pools/a b'"),
        ("qemu+tcp://hv1:16509/system", "ssh ssh://hv1 rm -r '/pools/a b'"),
    ],
)
def test_files_are_removed_on_the_hypervisors_machine(uri: str, command: str) -> None:
    assert libvirt_objects._remove_files(uri, "/pools/a b") == command
