"""Domains on a real libvirtd: machines that boot nothing and run on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt
import pytest
from bundled_plugins.runtime.values import UNKNOWN, Properties, Secret

from conformance.daemons_libvirt import PrivateLibvirt
from conformance.harness import CallFailed, Managed, Provider, Refused, running
from conformance.libvirt.conftest import DOMAIN, ISO, Bench, bench_in

MAC = "52:54:00:0a:0b:0c"


def xml(bench: Bench, id: str) -> ElementTree.Element:
    return ElementTree.fromstring(bench.connection.lookupByUUIDString(id).XMLDesc(0))


def test_a_complete_machine_and_a_second_up_and_refresh_without_change(bench: Bench) -> None:
    network, _pool = bench.network(), bench.pool()
    disk = bench.volume("disk")
    seed = bench.resource(ISO, "seed")
    seed.up({"name": "seed.iso", "pool": bench.named("pool"), "userData": Secret("#cloud-config\n")})
    program = bench.domain_program(
        description="a machine",
        vcpu=2,
        cpu={"mode": "maximum"},
        cloudinit=seed.id,
        disks=[{"volumeId": disk.id}],
        networkInterfaces=[{"networkId": network.id, "mac": MAC}],
        consoles=[{"type": "pty", "targetPort": "0", "targetType": "serial"}],
        bootDevices=[{"devs": ["hd", "network"]}],
        autostart=True,
    )
    domain = bench.resource(DOMAIN, "vm")
    assert domain.up(program) == "create"
    assert domain.up(program) == "same"
    assert domain.refresh()
    assert not domain.plan(program).changed
    live = bench.live_domain(domain)
    assert live.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    assert live.autostart()
    root = xml(bench, domain.id)
    assert [boot.get("dev") for boot in root.findall("os/boot")] == ["hd", "network"]
    assert root.findtext("devices/disk[@device='cdrom']/serial") == "cloudinit"
    assert root.find("devices/disk/driver[@type='qcow2']") is not None
    nic = domain["networkInterfaces"][0]
    assert nic["mac"] == MAC.upper()
    assert nic["networkName"] == bench.named("net")
    assert (domain["machine"], domain["arch"], domain["running"]) == ("pc", "x86_64", True)


# what replaces, what updates


@dataclass(frozen=True)
class Standing:
    """A machine that many tests plan with and none changes."""

    domain: Managed
    program: Properties


@pytest.fixture(scope="module")
def standing(
    hypervisor: PrivateLibvirt, plugin: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standing]:
    with bench_in(hypervisor, plugin, tmp_path_factory.mktemp("standing")) as bench:
        blank = bench.directory / "blank.img"
        blank.write_bytes(bytes(1 << 20))
        program = bench.domain_program(disks=[{"file": str(blank)}])
        yield Standing(bench.domain(disks=[{"file": str(blank)}]), program)


@pytest.mark.parametrize(
    "change",
    [
        {"memory": 48},
        {"vcpu": 2},
        {"type": "kvm"},
        {"description": "x"},
        {"disks": []},
        {"disks": UNKNOWN},
        {"disks": [{"file": "/a"}, {"file": "/b"}]},
        {"disks": [{"file": "/a", "scsi": True}]},
        {"graphics": {"type": "spice", "listenType": "none"}},
        {"graphics": None},
        {"consoles": [{"type": "pty", "targetPort": "0"}]},
        {"cmdlines": [{"quiet": "1"}]},
        {"name": "other"},
    ],
    ids=str,
)
def test_what_replaces_deletes_first_because_the_name_is_given(standing: Standing, change: dict[str, Any]) -> None:
    program = standing.program | change
    diff = standing.domain.plan({key: value for key, value in program.items() if value is not None})
    assert diff.replace
    assert diff.delete_before_replace


@pytest.mark.parametrize(
    "change",
    [
        {"disks": [{"volumeId": UNKNOWN}]},
        {"disks": [{"file": "/elsewhere"}]},
        {"cloudinit": UNKNOWN},
        {"networkInterfaces": UNKNOWN},
        {"networkInterfaces": [{"bridge": "virbr0"}]},
        {"machine": "q35"},
        {"cpu": {"mode": "host-passthrough"}},
        {"kernel": "/k"},
        {"running": False},
        {"autostart": True},
        {"bootDevices": [{"devs": ["network"]}]},
        {"graphics": {"type": "vnc", "listenType": "none", "websocket": 5}},
    ],
    ids=str,
)
def test_what_is_planned_as_an_update(standing: Standing, change: dict[str, Any]) -> None:
    diff = standing.domain.plan(standing.program | change)
    assert diff.changed
    assert not diff.replace


def test_an_update_without_effect_goes_into_the_state_only(bench: Bench) -> None:
    domain = bench.domain()
    assert domain.up(bench.domain_program(machine="q35")) == "update"
    assert domain.up(bench.domain_program(machine="q35")) == "same"
    domain.refresh()
    assert domain["machine"] == "pc"
    assert domain.plan(bench.domain_program(machine="q35")).changed


def test_a_replaced_machine_is_another_one(bench: Bench) -> None:
    domain = bench.domain()
    before = domain.id
    assert domain.up(bench.domain_program(memory=48)) == "replace"
    assert domain.id != before
    assert bench.live_domain(domain).maxMemory() == 48 * 1024
    assert bench.domains() == {bench.named("vm")}


def test_computed_nested_properties_survive_an_update(bench: Bench) -> None:
    network = bench.network()
    program = bench.domain_program(networkInterfaces=[{"networkId": network.id}])
    domain = bench.resource(DOMAIN, "vm")
    domain.up(program)
    nics = domain["networkInterfaces"]
    assert domain.up(program | {"autostart": True}) == "update"
    assert domain["networkInterfaces"] == nics
    assert bench.live_domain(domain).autostart()


def test_the_computed_are_unknown_in_a_preview(bench: Bench) -> None:
    inputs = bench.plugin.check(
        DOMAIN, "vm", bench.domain_program(networkInterfaces=[{"networkId": UNKNOWN}], disks=[{"volumeId": UNKNOWN}])
    )
    planned = bench.plugin.preview(DOMAIN, "vm", inputs)
    for key in ("arch", "machine", "emulator", "cpu", "autostart"):
        assert planned[key] is UNKNOWN, key
    nic = planned["networkInterfaces"][0]
    for key in ("mac", "networkName", "networkId"):
        assert nic[key] is UNKNOWN, key
    assert bench.domains() == set()


# running and not


def test_a_killed_machine_is_started_again_by_refresh_and_up(bench: Bench) -> None:
    domain = bench.domain()
    bench.live_domain(domain).destroy()
    assert domain.up(bench.domain_program()) == "same"
    assert domain.refresh()
    assert domain["running"] is False
    assert domain.up(bench.domain_program()) == "update"
    assert bench.live_domain(domain).isActive()
    assert domain["running"] is True


def test_running_false_makes_a_machine_that_is_off(bench: Bench) -> None:
    domain = bench.domain(running=False)
    assert not bench.live_domain(domain).isActive()
    assert domain["running"] is False
    assert domain.up(bench.domain_program(running=False)) == "same"
    assert domain.up(bench.domain_program(running=True)) == "update"
    assert bench.live_domain(domain).isActive()
    assert domain.up(bench.domain_program(running=False)) == "update"
    assert bench.live_domain(domain).isActive()


def test_a_paused_machine_counts_as_not_running_and_can_be_destroyed(bench: Bench) -> None:
    domain = bench.domain()
    bench.live_domain(domain).suspend()
    domain.refresh()
    assert domain["running"] is False
    domain.destroy()
    assert bench.domains() == set()


@pytest.mark.bundled_only("objects gone")
@pytest.mark.parametrize("how", ["killed", "undefined", "both"])
def test_destroy_of_a_machine_that_was_changed_outside_pulumi(bench: Bench, how: str) -> None:
    domain = bench.domain()
    live = bench.live_domain(domain)
    if how in ("killed", "both"):
        live.destroy()
    if how in ("undefined", "both"):
        live.undefine()
    domain.destroy()
    assert bench.domains() == set()


@pytest.mark.bundled_only("objects gone")
def test_an_object_removed_outside_pulumi_is_gone_after_refresh(bench: Bench) -> None:
    domain = bench.domain()
    live = bench.live_domain(domain)
    live.destroy()
    live.undefine()
    with pytest.raises(CallFailed, match="pulumi refresh"):
        domain.up(bench.domain_program(autostart=True))
    assert not domain.refresh()
    assert domain.up(bench.domain_program()) == "create"


@pytest.mark.bundled_only("leftovers")
def test_a_machine_that_cannot_start_is_not_left_defined(bench: Bench) -> None:
    domain = bench.resource(DOMAIN, "vm")
    with pytest.raises(CallFailed, match="error creating libvirt domain: ") as failed:
        domain.up(bench.domain_program(disks=[{"file": str(bench.directory / "missing.img")}]))
    assert failed.value.partial is None
    assert bench.domains() == set()
    assert domain.up(bench.domain_program()) == "create"


def test_a_name_in_use_is_an_error(bench: Bench) -> None:
    bench.connection.defineXML(
        f"<domain type='qemu'><name>{bench.named('vm')}</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    )
    with pytest.raises(CallFailed, match=r"error defining libvirt domain: .*already exists with uuid"):
        bench.domain()
    assert bench.domains() == {bench.named("vm")}


@pytest.mark.bundled_only("leftovers")
def test_an_object_left_by_a_killed_run_is_recreated(bench: Bench) -> None:
    first = bench.domain()
    forgotten, first.id = first.id, ""
    again = bench.resource(DOMAIN, "vm")
    assert again.up(bench.domain_program()) == "create"
    assert again.id != forgotten
    assert bench.domains() == {bench.named("vm")}


@pytest.mark.bundled_only("leftovers")
def test_another_program_does_not_take_it_for_its_own_leftover(bench: Bench, tmp_path: Path) -> None:
    bench.domain()
    with running("bundled_plugins.libvirt", {"uri": bench.hypervisor.uri}, cwd=tmp_path) as plugin:
        other = plugin.resource(DOMAIN, bench.named("vm"))
        with pytest.raises(CallFailed, match="already exists with uuid"):
            other.up(bench.domain_program())


# what it refers to


def test_missing_references_are_named(bench: Bench) -> None:
    domain = bench.resource(DOMAIN, "vm")
    nothing = "00000000-0000-4000-8000-000000000000"
    for more, match in (
        ({"disks": [{"volumeId": "/no/such"}]}, "can't retrieve volume /no/such"),
        ({"cloudinit": "/no/such;x"}, "can't retrieve the cloud-init volume /no/such"),
        ({"cloudinit": "/no/such"}, "/no/such is not a valid key"),
        ({"networkInterfaces": [{"networkId": nothing}]}, f"can't retrieve network ID {nothing}"),
        ({"networkInterfaces": [{"networkName": "nope"}]}, "can't retrieve network 'nope'"),
        ({"disks": [{}]}, r"disks\[0\] names nothing"),
        ({"machine": "pc-i440fx-0.1"}, "cannot find machine type 'pc-i440fx-0.1'"),
        ({"consoles": [{"type": "file", "targetPort": "0"}]}, "a console of type 'file' needs 'sourcePath'"),
    ):
        with pytest.raises(CallFailed, match=match):
            domain.up(bench.domain_program(**more))
    assert bench.domains() == set()


@pytest.mark.bundled_only("refusals")
@pytest.mark.parametrize(
    ("wrong", "path", "reason"),
    [
        ({"memory": 0}, "memory", "greater than or equal to 1"),
        ({"memory": "512"}, "memory", "valid integer"),
        (
            {"disks": [{"volume": "x"}]},
            "disks[0].volume",
            "is no property of libvirt:index/domain:Domain; check its spelling",
        ),
        ({"firmware": "/x"}, "firmware", "not supported by the bundled plugin"),
        ({"xml": {"xslt": "<x/>"}}, "xml", "not supported by the bundled plugin"),
        ({"networkInterfaces": [{"macvtap": "eth0"}]}, "networkInterfaces[0].macvtap", "not supported by the bundled"),
        (
            {"networkInterfaces": [{"addresses": ["x"]}]},
            "networkInterfaces[0].addresses",
            "not supported by the bundled",
        ),
        ({"consoles": [{"type": "pty"}]}, "consoles[0].targetPort", "Missing required property"),
        ({"cmdlines": [{"a b": "x"}]}, "cmdlines", "is no kernel argument"),
    ],
)
def test_wrong_inputs_are_refused_with_their_path(bench: Bench, wrong: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        bench.plugin.check(DOMAIN, "vm", bench.domain_program(**wrong))
    assert reason in refused.value.reason(path)


def test_a_disk_whose_volume_is_gone_makes_the_next_up_replace_the_machine(bench: Bench) -> None:
    bench.pool()
    disk = bench.volume("disk")
    program = bench.domain_program(disks=[{"volumeId": disk.id}])
    domain = bench.resource(DOMAIN, "vm")
    domain.up(program)
    Path(disk.id).unlink()
    assert not disk.refresh()
    assert domain.refresh()
    disk.up(bench.volume_program("disk"))
    assert domain.up(program) == "replace"
    assert bench.live_domain(domain).isActive()


def test_a_network_that_is_gone_is_no_error_and_shows(bench: Bench) -> None:
    network = bench.network()
    program = bench.domain_program(networkInterfaces=[{"networkId": network.id}])
    domain = bench.resource(DOMAIN, "vm")
    domain.up(program)
    live = bench.connection.networkLookupByUUIDString(network.id)
    live.destroy()
    assert domain.refresh()
    assert not domain.plan(program).changed
    live.undefine()
    assert domain.refresh()
    assert domain.plan(program).paths == {"networkInterfaces[0].networkId": "UPDATE"}
    domain.destroy()


def test_a_pool_that_stopped_is_started_for_the_disks_of_a_refresh(bench: Bench) -> None:
    pool, disk = bench.pool(), bench.volume("disk")
    program = bench.domain_program(disks=[{"volumeId": disk.id}])
    domain = bench.resource(DOMAIN, "vm")
    domain.up(program)
    bench.connection.storagePoolLookupByUUIDString(pool.id).destroy()
    assert domain.refresh()
    assert not domain.plan(program).changed


@pytest.mark.bundled_only("plans")
def test_a_cpu_of_the_host_model_is_no_perpetual_update(bench: Bench) -> None:
    program = bench.domain_program(cpu={"mode": "host-model"})
    domain = bench.resource(DOMAIN, "vm")
    domain.up(program)
    assert domain.up(program) == "same"
    domain.refresh()
    assert not domain.plan(program).changed


def test_a_network_of_mode_bridge_reads_as_its_bridge_and_so_always_differs(bench: Bench) -> None:
    """libvirt shows it so while the machine runs, and the official provider reads no network of such an interface."""
    there = bench.network()
    network = bench.resource("libvirt:index/network:Network", "bridged")
    network.up({"name": bench.named("bridged"), "mode": "bridge", "bridge": there["bridge"]})
    program = bench.domain_program(networkInterfaces=[{"networkId": network.id, "mac": MAC}])
    domain = bench.resource(DOMAIN, "vm")
    domain.up(program)
    assert domain["networkInterfaces"][0]["bridge"] == there["bridge"]
    assert not domain["networkInterfaces"][0].get("networkId")
    assert domain.plan(program).changed


def test_interfaces_by_name_bridge_and_none(bench: Bench) -> None:
    network = bench.network()
    nics = [{"networkName": bench.named("net")}, {"bridge": network["bridge"]}, {}]
    program = bench.domain_program(networkInterfaces=nics)
    domain = bench.resource(DOMAIN, "vm")
    domain.up(program)
    kinds = [nic.get("type") for nic in xml(bench, domain.id).findall("devices/interface")]
    assert kinds == ["network", "bridge", "user"]
    assert domain["networkInterfaces"][0]["networkId"] == network.id
    assert domain["networkInterfaces"][1]["bridge"] == network["bridge"]
    assert domain.up(program) == "same"
    domain.refresh()
    assert not domain.plan(program).changed


def test_kernel_and_its_arguments_come_back_as_given(bench: Bench) -> None:
    kernel = next(iter(sorted(Path("/boot").glob("vmlinuz*"))), None)
    if kernel is None:
        kernel = bench.directory / "kernel"
        kernel.write_bytes(bytes(4096))
    cmdlines = [{"console": "ttyS0", "_": "quiet ro"}, {"console": "tty0"}]
    program = bench.domain_program(kernel=str(kernel), cmdlines=cmdlines, running=True)
    domain = bench.resource(DOMAIN, "vm")
    try:
        domain.up(program)
    except CallFailed as failure:
        assert "linux kernel" in failure.message.lower() or "kernel" in failure.message  # noqa: PT017
        pytest.skip(f"QEMU takes no kernel here: {failure.message[:200]}")
    assert xml(bench, domain.id).findtext("os/cmdline") == "console=tty0 console=ttyS0 quiet ro"
    domain.refresh()
    assert domain["cmdlines"] == cmdlines
    assert not domain.plan(program).changed


def test_a_console_can_write_to_a_file(bench: Bench) -> None:
    log = bench.directory / "console.log"
    domain = bench.domain(
        consoles=[{"type": "file", "targetPort": "0", "targetType": "serial", "sourcePath": str(log)}]
    )
    assert log.exists()
    assert not domain.plan(
        bench.domain_program(
            consoles=[{"type": "file", "targetPort": "0", "targetType": "serial", "sourcePath": str(log)}]
        )
    ).changed


@pytest.mark.bundled_only("plans")
def test_cdroms_and_scsi_disks_and_an_empty_tray(bench: Bench) -> None:
    iso, blank = bench.directory / "x.iso", bench.directory / "b.img"
    for path in (iso, blank):
        path.write_bytes(bytes(1 << 20))
    program = bench.domain_program(disks=[{"file": str(blank), "scsi": True}, {"file": str(iso)}])
    domain = bench.resource(DOMAIN, "vm")
    domain.up(program)
    root = xml(bench, domain.id)
    assert root.find("devices/disk[@device='cdrom']/target[@dev='hdb']") is not None
    assert root.find("devices/disk/target[@dev='sda']") is not None
    assert domain["disks"][0]["scsi"] is True
    domain.refresh()
    assert not domain.plan(program).changed
    empty = "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='hdb' bus='ide'/></disk>"
    bench.live_domain(domain).updateDeviceFlags(empty, libvirt.VIR_DOMAIN_AFFECT_LIVE | 4)
    assert domain.refresh()
    assert len(domain["disks"]) == 1


def test_the_domain_type_of_the_environment_wins(bench: Bench) -> None:
    variables = {"TERRAFORM_LIBVIRT_TEST_DOMAIN_TYPE": "qemu"}
    with running("bundled_plugins.libvirt", {"uri": bench.hypervisor.uri}, env=variables) as plugin:
        domain = plugin.resource(DOMAIN, bench.named("vm"))
        domain.up(bench.domain_program(type="kvm"))
        assert xml(bench, domain.id).get("type") == "qemu"
        assert domain["type"] == "kvm"
        assert domain.up(bench.domain_program(type="kvm")) == "same"


def _await_idle(domain: Any) -> None:
    """Wait until the machine's firmware is through: it resets the drives without a word to libvirt."""
    deadline = time.monotonic() + 60
    spent = [0.0, domain.info()[4] / 1e9]
    while spent[-1] - spent[-2] > 0.1:
        assert time.monotonic() < deadline, f"the machine is still busy: {spent[-5:]} s of CPU"
        time.sleep(0.5)
        spent.append(domain.info()[4] / 1e9)


def test_a_changed_cloud_init_disk_swaps_the_medium(bench: Bench) -> None:
    bench.pool()
    one, two = (bench.resource(ISO, name) for name in ("one", "two"))
    one.up({"name": "one.iso", "pool": bench.named("pool"), "userData": "1"})
    two.up({"name": "two.iso", "pool": bench.named("pool"), "userData": "2"})
    domain = bench.domain(cloudinit=one.id)
    _await_idle(bench.live_domain(domain))
    program = bench.domain_program(cloudinit=two.id)
    assert domain.up(program) == "update"
    source = xml(bench, domain.id).find("devices/disk[@device='cdrom']/source")
    assert source is not None
    assert source.get("file") == two.id.split(";")[0]
    assert domain.up(program) == "same"
    with pytest.raises(CallFailed, match="cannot be taken away"):
        domain.up(bench.domain_program())


def test_a_medium_is_swapped_in_a_machine_that_is_off(bench: Bench) -> None:
    """And then the machine starts."""
    bench.pool()
    one, two = (bench.resource(ISO, name) for name in ("one", "two"))
    one.up({"name": "one.iso", "pool": bench.named("pool"), "userData": "1"})
    two.up({"name": "two.iso", "pool": bench.named("pool"), "userData": "2"})
    domain = bench.domain(cloudinit=one.id)
    bench.live_domain(domain).destroy()
    assert domain.up(bench.domain_program(cloudinit=two.id)) == "update"
    assert bench.live_domain(domain).isActive()
    source = xml(bench, domain.id).find("devices/disk[@device='cdrom']/source")
    assert source is not None
    assert source.get("file") == two.id.split(";")[0]


def test_import(bench: Bench) -> None:
    network, _pool, disk = bench.network(), bench.pool(), bench.volume("disk")
    domain = bench.domain(disks=[{"volumeId": disk.id}], networkInterfaces=[{"networkId": network.id}])
    live = bench.plugin.read(DOMAIN, "vm", domain.id)
    assert live is not None
    assert live.inputs["disks"][0]["volumeId"] == disk.id
    assert live.inputs["networkInterfaces"][0]["networkId"] == network.id
    with pytest.raises(CallFailed, match="error retrieving libvirt domain 'nonsense'"):
        bench.plugin.read(DOMAIN, "vm", "nonsense")
