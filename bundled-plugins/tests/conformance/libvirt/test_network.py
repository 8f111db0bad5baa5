"""Networks on a real libvirtd."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from bundled_plugins.runtime.values import UNKNOWN

from conformance.harness import CallFailed, Refused
from conformance.libvirt.conftest import NETWORK, Bench


def _live(bench: Bench, id: str) -> ElementTree.Element:
    return ElementTree.fromstring(bench.connection.networkLookupByUUIDString(id).XMLDesc(0))


def test_it_runs_as_declared_and_a_second_up_changes_nothing(bench: Bench) -> None:
    network = bench.network()
    live = bench.connection.networkLookupByUUIDString(network.id)
    assert live.isActive()
    assert live.autostart()
    root = _live(bench, network.id)
    assert root.find("forward") is None
    assert root.find("ip/dhcp") is None
    ip = root.find("ip")
    assert ip is not None
    assert (ip.get("address"), ip.get("prefix")) == (f"{bench.subnet}.1", "24")
    assert network["bridge"] == live.bridgeName()
    assert network.up(bench.network_program()) == "same"


def test_refresh_shows_no_drift(bench: Bench) -> None:
    more = {"mtu": 1400, "mode": "nat", "domain": "lab.test", "addresses": [f"{bench.subnet}.0/24", "fd00:99::/64"]}
    network = bench.network(**more)
    before = network.outputs
    assert network.refresh()
    assert network.outputs == before
    assert not network.plan(bench.network_program(**more)).changed


def test_dhcp_is_on_by_default_and_its_range_leaves_out_the_bridge(bench: Bench) -> None:
    program = bench.network_program()
    del program["dhcp"]
    network = bench.resource(NETWORK, "net")
    network.up(program)
    span = _live(bench, network.id).find("ip/dhcp/range")
    assert span is not None
    assert (span.get("start"), span.get("end")) == (f"{bench.subnet}.2", f"{bench.subnet}.254")
    assert network["dhcp"] == {"enabled": True}
    assert network.up(program) == "same"


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "route"},
        {"domain": "other.test"},
        {"addresses": ["10.99.99.0/24"]},
        {"bridge": "virbr99"},
        {"name": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_replaces_deletes_first_because_the_name_is_given(bench: Bench, change: dict[str, Any]) -> None:
    network = bench.network()
    diff = network.plan(bench.network_program(**change))
    assert diff.replace
    assert diff.delete_before_replace


def test_a_generated_name_is_replaced_create_first(bench: Bench) -> None:
    program = bench.network_program()
    del program["name"]
    network = bench.resource(NETWORK, "auto")
    assert network.up(program) == "create"
    assert network["name"].startswith(f"{bench.named('auto')}-")
    assert network.up(program) == "same"
    diff = network.plan(program | {"domain": "x.test"})
    assert diff.replace
    assert not diff.delete_before_replace


def test_a_replaced_network_is_another_one(bench: Bench) -> None:
    network = bench.network()
    old = network.id
    assert network.up(bench.network_program(domain="lab.test")) == "replace"
    assert network.id != old
    assert bench.networks() == {bench.named("net")}
    domain = _live(bench, network.id).find("domain")
    assert domain is not None
    assert domain.get("name") == "lab.test"


@pytest.mark.parametrize(
    "change",
    [{"mtu": 1300}, {"dhcp": {"enabled": True}}],
)
def test_what_is_planned_as_an_update_without_effect(bench: Bench, change: dict[str, Any]) -> None:
    network = bench.network()
    assert network.up(bench.network_program(**change)) == "update"
    assert _live(bench, network.id).find("mtu") is None
    assert network.up(bench.network_program(**change)) == "same"


def test_the_mode_is_compared_without_case(bench: Bench) -> None:
    network = bench.network(mode="NAT")
    assert network["mode"].lower() == "nat"
    assert not network.plan(bench.network_program(mode="nat")).changed


@pytest.mark.bundled_only("plans")
def test_host_bits_of_a_cidr_do_not_replace_at_every_up(bench: Bench) -> None:
    program = bench.network_program(addresses=[f"{bench.subnet}.7/24"])
    network = bench.network(addresses=[f"{bench.subnet}.7/24"])
    network.refresh()
    assert not network.plan(program).changed


def test_autostart_changes_in_place(bench: Bench) -> None:
    network = bench.network()
    assert network.up(bench.network_program(autostart=False)) == "update"
    assert not bench.connection.networkLookupByUUIDString(network.id).autostart()
    assert network["autostart"] is False


def test_an_update_starts_a_stopped_network(bench: Bench) -> None:
    network = bench.network()
    live = bench.connection.networkLookupByUUIDString(network.id)
    live.destroy()
    assert network.up(bench.network_program(autostart=False)) == "update"
    assert live.isActive()


def test_the_computed_are_unknown_in_a_preview(bench: Bench) -> None:
    network = bench.resource(NETWORK, "net")
    inputs = bench.plugin.check(NETWORK, network.name, bench.network_program())
    planned = bench.plugin.preview(NETWORK, network.name, inputs)
    assert planned["bridge"] is UNKNOWN
    assert planned["name"] == bench.named("net")
    assert bench.networks() == set()


@pytest.mark.bundled_only("objects gone")
def test_gone_is_gone(bench: Bench) -> None:
    network = bench.network()
    live = bench.connection.networkLookupByUUIDString(network.id)
    live.destroy()
    live.undefine()
    network.destroy()
    network = bench.network()
    bench.connection.networkLookupByUUIDString(network.id).destroy()
    bench.connection.networkLookupByUUIDString(network.id).undefine()
    with pytest.raises(CallFailed, match="pulumi refresh"):
        network.up(bench.network_program(autostart=False))
    assert not network.refresh()
    assert network.up(bench.network_program()) == "create"
    network.destroy()
    assert bench.networks() == set()


@pytest.mark.bundled_only("leftovers")
def test_a_network_that_cannot_start_leaves_nothing(bench: Bench) -> None:
    bench.network()
    other = bench.resource(NETWORK, "other")
    with pytest.raises(CallFailed, match=r"error creating libvirt network: .*already in use") as failed:
        other.up(bench.network_program(name=bench.named("other")))
    assert failed.value.partial is None
    assert bench.networks() == {bench.named("net")}


def test_a_name_in_use_is_an_error(bench: Bench) -> None:
    bench.connection.networkDefineXML(f"<network><name>{bench.named('net')}</name></network>")
    network = bench.resource(NETWORK, "net")
    with pytest.raises(CallFailed, match=r"error defining libvirt network: .*already exists with uuid"):
        network.up(bench.network_program())
    assert bench.networks() == {bench.named("net")}


@pytest.mark.bundled_only("leftovers")
def test_an_object_left_by_a_killed_run_is_recreated(bench: Bench) -> None:
    first = bench.network()
    forgotten, first.id = first.id, ""
    again = bench.resource(NETWORK, "net")
    assert again.up(bench.network_program()) == "create"
    assert again.id != forgotten
    assert bench.networks() == {bench.named("net")}
    assert any("interrupted run" in message.text for message in bench.plugin.engine.messages)


def test_import_gives_inputs_that_plan_no_change(bench: Bench) -> None:
    network = bench.network()
    live = bench.plugin.read(NETWORK, network.name, network.id)
    assert live is not None
    assert live.inputs["name"] == bench.named("net")
    program = {key: value for key, value in live.inputs.items() if not key.startswith("__")}
    checked = bench.plugin.check(NETWORK, network.name, program, live.inputs)
    assert not bench.plugin.diff(NETWORK, network.name, live.id, live.outputs, live.inputs, checked).changed


@pytest.mark.bundled_only("refusals")
@pytest.mark.parametrize(
    ("wrong", "path", "reason"),
    [
        ({"mode": "bridged"}, "mode", "unsupported network mode 'bridged'"),
        ({"addresses": ["10.0.0.0/33"]}, "addresses", "10.0.0.0/33"),
        ({"xml": {"xslt": "<x/>"}}, "xml", "'xml' is not supported by the bundled plugin"),
        ({"dns": {"hosts": []}}, "dns", "'dns' is not supported by the bundled plugin"),
        ({"mtu": "big"}, "mtu", "valid integer"),
        ({"routes": []}, "routes", "'routes' is not supported by the bundled plugin"),
        ({"vlan": 3}, "vlan", "'vlan' is no property of libvirt:index/network:Network; check its spelling"),
        ({"dhcp": {"enabled": True, "mac": "x"}}, "dhcp.mac", "is no property of"),
    ],
)
def test_wrong_inputs_are_refused_with_their_path(bench: Bench, wrong: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        bench.plugin.check(NETWORK, "net", bench.network_program(**wrong))
    assert reason in refused.value.reason(path)


def test_a_netmask_that_is_too_small_is_an_error(bench: Bench) -> None:
    with pytest.raises(CallFailed, match="netmask seems to be too strict: only 4 IPs available"):
        bench.network(addresses=["10.77.0.0/30"])


def test_bridge_mode_uses_an_existing_bridge(bench: Bench) -> None:
    with pytest.raises(CallFailed, match="'bridge' must be provided when using the bridged network mode"):
        bench.network(mode="bridge", addresses=[])
    bridge = bench.network()["bridge"]
    other = bench.resource(NETWORK, "bridged")
    program = {"name": bench.named("bridged"), "mode": "bridge", "bridge": bridge}
    assert other.up(program) == "create"
    assert other.up(program) == "same"
    other.destroy()
    assert bench.networks() == {bench.named("net")}
