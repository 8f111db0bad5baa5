"""Network."""

from __future__ import annotations

import threading

import pytest

from conformance.daemons import IMAGE, PrivateDocker
from conformance.harness import CallFailed, Provider

NETWORK = "docker:index/network:Network"
CONTAINER = "docker:index/container:Container"


LAB = {
    "name": "lab",
    "driver": "bridge",
    "internal": True,
    "attachable": True,
    "options": {"com.docker.network.driver.mtu": "1400"},
    "labels": [{"label": "b", "value": "2"}, {"label": "a", "value": "1"}],
    "ipamConfigs": [
        {
            "subnet": "10.88.0.0/24",
            "ipRange": "10.88.0.128/25",
            "gateway": "10.88.0.1",
            "auxAddress": {"x": "10.88.0.9"},
        }
    ],
}


def test_network_is_created_as_declared_and_does_not_drift(provider: Provider, daemon: PrivateDocker) -> None:
    lab = provider.resource(NETWORK, "lab")
    assert lab.up(LAB) == "create"
    live = daemon.api.inspect_network(lab.id)
    assert live["Id"] == lab.id
    assert live["Internal"]
    assert live["Attachable"]
    assert live["Options"] == LAB["options"]
    assert live["Labels"] == {"a": "1", "b": "2"}
    assert live["IPAM"]["Config"] == [
        {
            "Subnet": "10.88.0.0/24",
            "IPRange": "10.88.0.128/25",
            "Gateway": "10.88.0.1",
            "AuxiliaryAddresses": {"x": "10.88.0.9"},
        }
    ]
    assert lab["scope"] == "local"
    assert lab.up(LAB) == "same"
    before = dict(lab.inputs)
    assert lab.refresh()
    assert lab.inputs == before
    assert lab.up(LAB) == "same"


def test_plain_network_gets_a_name_and_the_ipam_default(provider: Provider) -> None:
    plain = provider.resource(NETWORK, "plain")
    plain.up({})
    assert plain.inputs["__defaults"] == ["ipamDriver", "name"]
    assert plain.inputs["ipamDriver"] == "default"
    assert plain["driver"] == "bridge"
    assert plain["ipamConfigs"][0]["subnet"]
    assert plain.refresh()
    assert plain.up({}) == "same"


@pytest.mark.parametrize(
    "change",
    [
        {"internal": False},
        {"attachable": False},
        {"options": {}},
        {"labels": [{"label": "a", "value": "1"}]},
        {"ipamConfigs": [{"subnet": "10.88.1.0/24"}]},
        {"name": "other"},
        {"driver": "macvlan"},
        {"ipv6": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_change_replaces_and_deletes_first(provider: Provider, change: dict[str, object]) -> None:
    lab = provider.resource(NETWORK, "lab")
    lab.up(LAB)
    plan = lab.plan(LAB | change)
    assert plan.replace
    assert {path.split("[")[0].split(".")[0] for path in plan.paths} == set(change)
    assert plan.delete_before_replace


def test_auto_named_network_is_replaced_without_deleting_first(provider: Provider) -> None:
    plain = provider.resource(NETWORK, "plain")
    plain.up({})
    plan = plain.plan({"attachable": True})
    assert plan.replace
    assert not plan.delete_before_replace


def test_name_that_exists_is_an_error(provider: Provider) -> None:
    provider.resource(NETWORK, "one").up({"name": "lab"})
    with pytest.raises(
        CallFailed, match="Unable to create network: Error response from daemon: network with name lab already exists"
    ):
        provider.resource(NETWORK, "two").up({"name": "lab"})


def test_overlapping_subnet_is_an_error(provider: Provider) -> None:
    provider.resource(NETWORK, "one").up(LAB)
    with pytest.raises(CallFailed, match="Pool overlaps with other one on this address space"):
        provider.resource(NETWORK, "two").up(LAB | {"name": "two"})


def test_overlay_without_a_cluster_store_reports_what_is_missing(provider: Provider) -> None:
    with pytest.raises(CallFailed, match=r"Unable to create network: Error response from daemon: .*swarm"):
        provider.resource(NETWORK, "over").up({"driver": "overlay"})


def test_vanished_network_is_gone_for_refresh_and_for_destroy(provider: Provider, daemon: PrivateDocker) -> None:
    lab = provider.resource(NETWORK, "lab")
    lab.up(LAB)
    daemon.api.remove_network(lab.id)
    lab.destroy()
    lab.up(LAB)
    daemon.api.remove_network(lab.id)
    assert not lab.refresh()


def test_deletion_waits_for_the_last_container(provider: Provider, daemon: PrivateDocker) -> None:
    lab = provider.resource(NETWORK, "lab")
    lab.up(LAB)
    web = provider.resource(CONTAINER, "web")
    web.up({"image": IMAGE, "command": ["sleep", "600"], "networksAdvanced": [{"name": "lab"}]})
    late = threading.Timer(2, web.destroy)
    late.start()
    lab.destroy()
    late.join()
    assert all(network["Name"] != "lab" for network in daemon.api.networks())


@pytest.mark.slow
def test_deletion_gives_up_after_thirty_seconds(provider: Provider) -> None:
    lab = provider.resource(NETWORK, "lab")
    lab.up(LAB)
    web = provider.resource(CONTAINER, "web")
    web.up({"image": IMAGE, "command": ["sleep", "600"], "networksAdvanced": [{"name": "lab"}]})
    with pytest.raises(
        CallFailed,
        match=r"timeout while waiting for state to become 'removed' \(last state: 'pending', timeout: 30s\)",
    ):
        lab.destroy()


def test_import_by_id(provider: Provider) -> None:
    lab = provider.resource(NETWORK, "lab")
    lab.up(LAB)
    live = provider.read(NETWORK, "lab", lab.id)
    assert live is not None
    assert live.inputs["name"] == "lab"
    assert live.inputs["ipamConfigs"] == LAB["ipamConfigs"]
    assert "ipamDriver" not in live.inputs


def test_missing_network_cannot_be_imported(provider: Provider) -> None:
    assert provider.read(NETWORK, "lab", "0" * 64) is None
