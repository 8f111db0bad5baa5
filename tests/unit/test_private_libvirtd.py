"""A private libvirtd really started, adopted, killed and stopped: nothing is left, nothing else is touched."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.process import ProcessRecord, end, spawn
from overlab.core.progress import Progress
from overlab.core.tools import output
from overlab.platform import acceleration, hypervisors, private_libvirtd
from overlab.platform.acceleration import Acceleration
from overlab.platform.namespace import Namespace
from overlab.platform.private_libvirtd import PrivateLibvirtd

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network and mount namespaces"),
]

_NETWORK = """
<network><name>t</name><bridge name='br0'/>
<ip address='10.98.0.1' netmask='255.255.255.0'><dhcp><range start='10.98.0.2' end='10.98.0.9'/></dhcp></ip></network>
"""
_DOMAIN = """
<domain type='qemu'><name>t</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>
"""
_USER = "libvirt-qemu"
_POOL = "<pool type='dir'><name>t</name><target><path>{path}</path></target></pool>"
_VOLUME = """
<volume><name>disk</name><capacity unit='MiB'>1</capacity>
<target><format type='raw'/><permissions><mode>{mode}</mode></permissions></target></volume>
"""
_DISK = """
<devices><disk type='file'><driver name='qemu' type='raw'/><source file='{path}'/><target dev='vda'/></disk></devices>
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def make() -> Iterator[Callable[[str], PrivateLibvirtd]]:
    """Bundled libvirts whose names are free of any other run's, all stopped at the end."""
    made: list[PrivateLibvirtd] = []

    def make_one(name: str) -> PrivateLibvirtd:
        made.append(PrivateLibvirtd(LabPaths(f"t-{name}-{os.getpid()}")))
        return made[-1]

    yield make_one
    for one in made:
        one.stop()
        one.paths.run.rmdir()


@pytest.fixture
def progress() -> Progress:
    return Progress(quiet=True)


def call(one: PrivateLibvirtd, work: Callable[[libvirt.virConnect], None]) -> None:
    connection = libvirt.open(one.uri)
    try:
        work(connection)
    finally:
        connection.close()


def names(one: PrivateLibvirtd) -> list[str]:
    return sorted(process.name() for process in one.namespace.processes())


def busy(one: PrivateLibvirtd) -> None:
    """A network and a machine in it."""
    call(one, lambda connection: connection.networkCreateXML(_NETWORK))
    call(one, lambda connection: connection.createXML(_DOMAIN))


def test_starts_runs_a_machine_and_leaves_nothing(make: Callable[[str], PrivateLibvirtd], progress: Progress) -> None:
    links, mounts = output(["ip", "-brief", "link"]), Path("/proc/self/mounts").read_text()
    one = make("one")
    one.ensure(progress)
    busy(one)
    inside = one.namespace.processes()
    assert names(one) == ["dnsmasq", "dnsmasq", "libvirtd", "qemu-system-x86"]
    assert output(["ip", "-brief", "link"]) == links
    one.stop()
    assert not any(process.alive() for process in inside)
    assert not one.namespace.path.exists()
    assert not one.paths.libvirt.exists()
    assert list(one.paths.run.iterdir()) == []
    left = [line for line in Path("/proc/self/mounts").read_text().splitlines() if line not in mounts]
    assert [line for line in left if one.paths.lab in line] == []


def start_with_disk(one: PrivateLibvirtd, pool_path: str, mode: str) -> ProcessRecord:
    """A machine with a disk of this mode in a pool there; its process."""

    def start(connection: libvirt.virConnect) -> None:
        pool = connection.storagePoolDefineXML(_POOL.format(path=pool_path))
        pool.build(0)
        pool.create(0)
        disk = pool.createXML(_VOLUME.format(mode=mode))
        connection.createXML(_DOMAIN.replace("</domain>", _DISK.format(path=disk.path()) + "</domain>"))

    call(one, start)
    [machine] = [process for process in one.namespace.processes() if process.name() == "qemu-system-x86"]
    return machine


def may_read(machine: ProcessRecord, user: int, path: str | Path, group: int = 65534) -> bool:
    """Whether a user of this group could read it where the machine runs."""
    enter = ["nsenter", f"--mount=/proc/{machine.pid}/ns/mnt", "setpriv"]
    command = [*enter, f"--reuid={user}", f"--regid={group}", "--clear-groups", "--", "cat", path]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_user = pytest.mark.skipif(
    not any(one.pw_name == _USER for one in pwd.getpwall()), reason=f"no user {_USER} on this machine"
)


@needs_user
def test_qemu_runs_as_a_user_that_reaches_its_disks_and_nothing_else_of_the_state(
    make: Callable[[str], PrivateLibvirtd], progress: Progress
) -> None:
    one = make("one")
    one.ensure(progress)
    secret = one.paths.state / "identity"
    secret.mkdir()
    (secret / "key").write_text("secret")

    machine, user = start_with_disk(one, one.pool_path, "0600"), pwd.getpwnam(_USER).pw_uid
    assert f"\nUid:\t{user}\t{user}\t" in Path(f"/proc/{machine.pid}/status").read_text()
    file = Path(one.on_machine(f"{one.pool_path}/disk"))
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (user, 0o600)
    assert file.is_relative_to(one.paths.state)
    assert may_read(machine, user, f"{one.pool_path}/disk")
    for closed in (secret / "key", one.paths.libvirt / "etc" / "qemu.conf", file):
        assert not may_read(machine, user, closed)


@needs_user
def test_a_closed_parent_directory_keeps_others_from_the_disks_of_the_official_plugin(
    make: Callable[[str], PrivateLibvirtd], progress: Progress
) -> None:
    """docs/howto/system-platform.md: that plugin creates disks with 0644, in a directory with 0711."""
    one = make("one")
    one.ensure(progress)
    text = (Path(__file__).parents[2] / "docs/howto/system-platform.md").read_text()
    [command] = [line.split() for line in text.splitlines() if line.startswith("    install -d ")]
    parent = one.paths.libvirt / "lib" / "closed"
    subprocess.run([*command[:-1], parent], check=True)
    path = "/var/lib/libvirt/closed/pool"
    machine = start_with_disk(one, path, "0644")
    qemu, nobody = pwd.getpwnam(_USER), pwd.getpwnam("nobody")
    assert (Path(one.on_machine(path)).stat().st_mode & 0o777) == 0o711
    assert may_read(machine, qemu.pw_uid, f"{path}/disk", grp.getgrnam(_USER).gr_gid)
    assert not may_read(machine, nobody.pw_uid, f"{path}/disk")
    parent.chmod(0o711)
    assert may_read(machine, nobody.pw_uid, f"{path}/disk")


@pytest.mark.parametrize(
    ("mode", "owner", "group", "usable"),
    [(0o666, 0, 0, True), (0o660, 0, 7, True), (0o600, 5, 0, True), (0o660, 0, 8, False), (0o600, 0, 7, False)],
)
def test_a_kvm_that_qemus_user_cannot_open_is_used_as_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, group: int, usable: bool
) -> None:
    device = tmp_path / "kvm"
    device.touch()
    device.chmod(mode)
    os.chown(device, owner, group)
    entry = pwd.struct_passwd((_USER, "x", 5, 7, "", "/", "/"))
    monkeypatch.setattr(private_libvirtd, "_KVM", device)
    monkeypatch.setattr(pwd, "getpwnam", lambda _: entry)
    monkeypatch.setattr(grp, "getgrnam", lambda name: grp.struct_group((name, "x", 9, [])))
    monkeypatch.setattr(os, "getgrouplist", lambda *_: [7])
    monkeypatch.setattr(acceleration, "probe", lambda: Acceleration("kvm", "a guest booted with KVM"))
    assert private_libvirtd._qemu_user(_USER) == (_USER if usable else "root", False)
    monkeypatch.setattr(acceleration, "probe", lambda: Acceleration("qemu", "/dev/kvm cannot be used"))
    assert private_libvirtd._qemu_user(_USER) == (_USER, not usable)


def test_without_such_a_user_qemu_runs_as_root() -> None:
    assert private_libvirtd._qemu_user("no-such-user") == ("root", False)


def test_two_run_side_by_side_without_meeting(make: Callable[[str], PrivateLibvirtd], progress: Progress) -> None:
    first, second = make("one"), make("two")
    for one in (first, second):
        one.ensure(progress)
        busy(one)  # the same names and addresses in both
    second.stop()
    assert names(first) == ["dnsmasq", "dnsmasq", "libvirtd", "qemu-system-x86"]
    call(first, lambda connection: connection.lookupByName("t").info())


def test_a_running_one_is_adopted(make: Callable[[str], PrivateLibvirtd], progress: Progress) -> None:
    one = make("one")
    one.ensure(progress)
    before = one.namespace.processes()
    PrivateLibvirtd(one.paths).ensure(progress)
    assert one.namespace.processes() == before


def test_after_a_kill_it_starts_again_and_finds_its_machines(
    make: Callable[[str], PrivateLibvirtd], progress: Progress
) -> None:
    one = make("one")
    one.ensure(progress)
    busy(one)
    [daemon] = [process for process in one.namespace.processes() if process.name() == "libvirtd"]
    os.kill(daemon.pid, signal.SIGKILL)
    end([daemon])
    assert not one.alive()
    one.ensure(progress)

    def running(connection: libvirt.virConnect) -> None:
        assert connection.lookupByName("t").isActive()
        assert connection.networkLookupByName("t").isActive()

    call(one, running)


def test_a_daemon_whose_start_was_not_recorded_is_replaced(
    make: Callable[[str], PrivateLibvirtd], progress: Progress
) -> None:
    one = make("one")
    one.ensure(progress)
    [daemon] = one.namespace.processes()
    (one.paths.run / "libvirtd.json").unlink()
    one.ensure(progress)
    assert not daemon.alive()
    assert names(one) == ["libvirtd"]


def test_a_recycled_pid_is_not_trusted(make: Callable[[str], PrivateLibvirtd], progress: Progress) -> None:
    one = make("one")
    one.ensure(progress)
    other = ProcessRecord.of(os.getpid())
    assert other is not None
    other.model_copy(update={"started": other.started - 1}).save(one.paths.run / "libvirtd.json")
    one.stop()  # would kill this very process
    assert not one.namespace.path.exists()


def test_a_failing_start_shows_libvirtds_log(
    make: Callable[[str], PrivateLibvirtd], progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overlab.platform.private_libvirtd._LIBVIRTD_CONF", "no such = setting\n")
    with pytest.raises(OverlabError, match=r"(?s)libvirtd exited at start.*libvirtd.conf.*remedy"):
        make("one").ensure(progress)


def test_a_system_hypervisor_reports_its_domain_types(
    make: Callable[[str], PrivateLibvirtd], progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make("one")
    one.ensure(progress)
    types = hypervisors._domain_types(one.uri)
    assert "qemu" in types
    monkeypatch.setattr(hypervisors, "_domain_types", lambda _: {"qemu"})
    assert "offers no kvm" in hypervisors.connect(one.uri).reason
    monkeypatch.setattr(hypervisors, "_domain_types", lambda _: {"qemu", "kvm"})
    assert hypervisors.connect("qemu+ssh://far/system").domain_type == "kvm"


def test_a_system_hypervisor_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(OverlabError, match=r"(?s)hypervisor qemu:///system\?socket=.*does not answer.*platform\.kind"):
        hypervisors._domain_types(f"qemu:///system?socket={tmp_path / 'none'}")


# -- the namespace alone ---------------------------------------------------------------------------


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    one = Namespace(f"overlab-t-ns-{os.getpid()}", claim=tmp_path / "claim", owner="this test")
    yield one
    subprocess.run(["ip", "netns", "delete", one.name], stderr=subprocess.DEVNULL, check=False)


def test_namespace_has_only_a_loopback(namespace: Namespace) -> None:
    namespace.ensure()
    listed = output(namespace.command(["ip", "-brief", "address"]))
    assert listed.split()[0] == "lo"
    assert "127.0.0.1/8" in listed
    assert len(listed.splitlines()) == 1


def test_exit_code_and_streams_pass_through(namespace: Namespace) -> None:
    namespace.ensure()
    done = subprocess.run(
        namespace.command(["sh", "-c", "cat; echo err >&2; exit 42"]), input=b"in", capture_output=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == (b"in", b"err\n", 42)


def test_a_foreign_namespace_is_refused_and_survives(namespace: Namespace) -> None:
    output(["ip", "netns", "add", namespace.name])
    with pytest.raises(OverlabError, match=r"not this lab's own \(claimed by none; processes: none\)\n.*ip netns del"):
        namespace.ensure()
    namespace.remove()
    assert namespace.path.exists()


def test_a_namespace_of_another_owner_is_refused_and_survives(namespace: Namespace, tmp_path: Path) -> None:
    Namespace(namespace.name, claim=namespace.claim, owner="somebody else").ensure()
    with pytest.raises(OverlabError, match="claimed by somebody else"):
        namespace.ensure()
    namespace.remove()
    assert namespace.path.exists()


def test_what_a_run_left_that_died_half_way_is_cleaned_up(namespace: Namespace) -> None:
    namespace.ensure()
    claim = namespace.claim.read_text()
    namespace.claim.write_text(claim.replace(str(namespace.inode()), "null"))  # died before the inode was recorded
    assert not namespace.ours()
    namespace.ensure()
    assert namespace.ours()


def test_remove_ends_every_process_inside_and_none_outside(namespace: Namespace, tmp_path: Path) -> None:
    namespace.ensure()
    inside = spawn(namespace.command(["sh", "-c", "trap '' TERM; sleep 600"]), tmp_path / "log")
    outside = spawn(["sleep", "600"], tmp_path / "log")
    limit = time.monotonic() + 10
    while inside not in namespace.processes() and time.monotonic() < limit:
        time.sleep(0.01)
    try:
        start = time.monotonic()
        # TERM is ignored: only KILL ends it
        namespace.remove()
        assert time.monotonic() - start < 25
        assert not inside.alive()
        assert outside.alive()
        assert not namespace.path.exists()
    finally:
        end([inside, outside])
