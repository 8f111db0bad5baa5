"""The files of a node: first-boot data, daemon.json, systemd units, firewall, Consul's configuration."""

from __future__ import annotations

import configparser
import copy
import json
import shlex
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config.platform import Platform
from components.config.settings import Settings, parse
from components.config.stores.consul import agent_config
from components.docker_engine import daemon_json, drop_in
from components.node import firewall, watchdog
from components.node.first_boot import FirstBoot, first_boot
from components.store_access import acl_tokens
from tests.components.recorder import make_platform

RAW: dict[str, Any] = {
    "underlay": {"cidr": "10.99.0.0/24"},
    "nodes": {"docker01": {}, "docker02": {}, "docker03": {}, "docker04": {}},
}


def lab(**changes: Any) -> Settings:
    return parse(copy.deepcopy(RAW) | changes, "dev")


def first_boot_of(key: str, settings: Settings, platform: Platform) -> FirstBoot:
    return first_boot(
        key,
        domain=settings.underlay.domain,
        address=IPv4Interface((settings.nodes[key].address, settings.underlay.cidr.prefixlen)),
        mtu=settings.underlay.mtu,
        gateway=None if settings.isolated(platform) else settings.gateway,
        host_key=platform.identity.host_keys[key],
        authorized_key=platform.identity.client_public_key,
    )


def agent_config_of(key: str, settings: Settings, platform: Platform) -> dict[str, object]:
    return agent_config(
        key,
        settings.nodes[key].address,
        tuple(settings.nodes[server].address for server in settings.store_nodes),
        acl=settings.store.has_acl,
    )


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path, lab())


def test_first_boot_data_is_yaml_that_pins_name_key_and_address(platform: Platform) -> None:
    settings = lab()
    seed = first_boot_of("docker02", settings, platform)
    assert seed.user_data.startswith("#cloud-config\n")
    user = yaml.safe_load(seed.user_data)
    assert user["hostname"] == "docker02"
    assert user["ssh_keys"]["ed25519_private"] == "PRIVATE HOST KEY OF docker02"
    assert user["ssh_authorized_keys"] == ["ssh-ed25519 CLIENT overlab"]
    assert user["ssh_pwauth"] is False
    (interface,) = yaml.safe_load(seed.network_config)["ethernets"].values()
    assert interface["match"] == {"macaddress": settings.nodes["docker02"].mac}
    assert (interface["set-name"], interface["addresses"]) == ("lab0", ["10.99.0.12/24"])


def test_a_node_more_changes_no_other_nodes_first_boot(platform: Platform) -> None:
    before = first_boot_of("docker01", lab(), platform)
    fewer = lab(nodes={"docker01": {}})
    assert first_boot_of("docker01", fewer, platform) == before


def test_an_isolated_network_has_no_default_route_and_another_one_has(platform: Platform) -> None:
    system_platform = platform.model_copy(update={"kind": "system"})
    assert "gateway4" not in first_boot_of("docker01", lab(), platform).network_config
    assert '"gateway4": "10.99.0.1"' in first_boot_of("docker01", lab(), system_platform).network_config


def test_daemon_json_names_the_interface_and_one_store() -> None:
    config = daemon_json(lab().engine, lab().cluster_store, None)
    assert config["cluster-store"] == "consul://10.99.0.11:8500"
    assert config["cluster-advertise"] == "lab0:2376"
    assert config["cluster-store-opts"] == {"discovery.heartbeat": "2", "discovery.ttl": "30"}
    assert config["default-address-pools"] == [{"base": "172.30.0.0/16", "size": 24}]
    assert config["live-restore"] is True
    assert "hosts" not in config
    assert "tlsverify" not in config


def test_daemon_json_limits_what_a_container_may_do_to_its_node() -> None:
    url = lab().cluster_store
    config = daemon_json(lab().engine, url, None)
    assert config["no-new-privileges"] is True
    assert config["icc"] is False
    assert (config["log-driver"], config["log-opts"]) == ("json-file", {"max-size": "10m", "max-file": "3"})
    assert config["default-ulimits"] == {"nofile": {"Name": "nofile", "Soft": 4096, "Hard": 4096}}
    off = daemon_json(lab(engine={"no_new_privileges": False, "icc": True}).engine, url, None)
    assert (off["no-new-privileges"], off["icc"]) == (False, True)


def test_in_cluster_mode_each_engine_asks_its_own_agent() -> None:
    assert lab(store={"servers": 3}).cluster_store == "consul://127.0.0.1:8500"


def test_the_engine_api_listens_with_client_certificates_or_not_at_all() -> None:
    address = "10.99.0.11"
    assert "tcp://" not in drop_in(lab().engine, address)
    assert drop_in(lab().engine, address).index("ExecStartPre=-/usr/local/sbin/dockerd-watchdog rename-veths") > 0
    assert drop_in(lab().engine, address).index("ExecStartPre=-/usr/local/sbin/dockerd-watchdog drop-endpoints") > 0
    safe = lab(engine={"api": "tls"})
    assert "-H tcp://10.99.0.11:2376" in drop_in(safe.engine, address)
    assert daemon_json(safe.engine, safe.cluster_store, None)["tlsverify"] is True


@pytest.mark.parametrize("text", [watchdog.service(), watchdog.path_unit(), firewall.unit()])
def test_units_are_units(text: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)
    assert "Unit" in parser


def firewall_of(key: str, settings: Settings) -> str:
    peers = [node.address for node in settings.nodes.values() if node.key != key]
    ports = settings.store.backend.peer_ports(settings.store.servers, serves=key in settings.store_nodes)
    api = settings.engine.api == "tls"
    return firewall.rules(
        settings.underlay.cidr, "lab0", peers, engine_api=api, store_ports=ports, control_ports=settings.control_ports
    )


def accepted(settings: Settings, node: str) -> dict[str, set[str]]:
    """Chain -> accepted "protocol/port"."""
    found: dict[str, set[str]] = {}
    for line in firewall_of(node, settings).splitlines():
        words = shlex.split(line)
        if "--dport" in words and words[-1] == "ACCEPT":
            port = f"{words[words.index('-p') + 1]}/{words[words.index('--dport') + 1]}"
            found.setdefault(words[1], set()).add(port)
    return found


def test_the_firewall_lets_peers_in_for_gossip_vxlan_and_the_store_only() -> None:
    peers = {"tcp/7946", "udp/7946", "udp/4789"}
    assert accepted(lab(), "docker01") == {"OVERLAB": {"tcp/22"}, "OVERLAB-PEERS": peers | {"tcp/8500"}}
    assert accepted(lab(), "docker02")["OVERLAB-PEERS"] == peers
    cluster = lab(store={"servers": 3})
    assert accepted(cluster, "docker04")["OVERLAB-PEERS"] == peers | {"tcp/8300", "tcp/8301", "udp/8301"}
    assert accepted(lab(engine={"api": "tls"}), "docker02")["OVERLAB"] == {"tcp/22", "tcp/2376"}


def test_the_firewall_knows_every_peer_and_refuses_the_rest() -> None:
    lines = firewall_of("docker02", lab()).splitlines()
    assert [line.split()[3] for line in lines if line.endswith("-j OVERLAB-PEERS")] == [
        "10.99.0.11",
        "10.99.0.13",
        "10.99.0.14",
    ]
    assert [line for line in lines if line.startswith("-A OVERLAB ")][-1] == "-A OVERLAB -j REJECT"


@pytest.mark.parametrize("store", [{}, {"servers": 3, "acl": True}])
def test_whatever_a_node_accepts_is_a_control_port_that_workloads_are_refused(store: dict[str, object]) -> None:
    settings = lab(engine={"api": "tls"}, store=store)
    opened = {port for ports in accepted(settings, "docker01").values() for port in ports}
    rule = "-A OVERLAB-WORKLOADS -d 10.99.0.0/24 -p {} --dport {} -j REJECT"
    rules = firewall_of("docker01", settings)
    refused = {
        f"{protocol}/{port}"
        for protocol in ("tcp", "udp")
        for port in lab().control_ports
        if rule.format(protocol, port) in rules
    }
    assert len(refused) == 2 * len(lab().control_ports)
    assert opened <= refused


def test_no_engine_starts_without_the_firewall() -> None:
    lines = drop_in(lab().engine, "10.99.0.11").splitlines()
    assert lines[:3] == ["[Unit]", "Requires=overlab-firewall.service", "After=overlab-firewall.service"]
    without = drop_in(lab(engine={"firewall": False}).engine, "10.99.0.11")
    assert "Requires" not in without
    assert "overlab-firewall" not in without


def test_the_firewall_is_loaded_again_after_each_start_of_an_engine() -> None:
    assert "ExecStartPost=/usr/local/sbin/overlab-firewall start" in drop_in(lab().engine, "10.99.0.11").splitlines()


def test_no_number_of_restarts_leaves_an_engine_stopped() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(drop_in(lab().engine, "10.99.0.11"))
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"


def test_a_single_server_listens_on_the_lab_and_on_loopback(platform: Platform) -> None:
    config = agent_config_of("docker01", lab(), platform)
    assert config["client_addr"] == "127.0.0.1 10.99.0.11"
    assert config["performance"] == {"raft_multiplier": 1}
    assert (config["server"], config["bootstrap_expect"]) == (True, 1)
    assert "encrypt" not in config


def test_a_cluster_gossips_encrypted_and_talks_http_on_loopback_alone(platform: Platform) -> None:
    settings = lab(store={"servers": 3})
    server, agent = (agent_config_of(key, settings, platform) for key in ("docker01", "docker04"))
    assert server["client_addr"] == agent["client_addr"] == "127.0.0.1"
    assert "performance" not in server
    assert "PRIVATE" not in json.dumps([server, agent])
    assert server["verify_incoming_rpc"] is server["verify_outgoing"] is server["verify_server_hostname"] is True
    assert server["key_file"] == "/consul/secrets/key.pem"
    assert server["bootstrap_expect"] == 3
    assert "server" not in agent
    assert server["retry_join"] == ["10.99.0.11", "10.99.0.12", "10.99.0.13"]
    assert json.dumps(server)


def test_a_cluster_has_access_lists_unless_they_are_refused(platform: Platform) -> None:
    assert "acl" in agent_config_of("docker01", lab(store={"servers": 3}), platform)
    assert "acl" not in agent_config_of("docker01", lab(store={"servers": 3, "acl": False}), platform)
    assert not lab().store.has_acl


def test_access_lists_deny_by_default_and_give_each_node_its_tokens(platform: Platform) -> None:
    settings = lab(store={"servers": 3, "acl": True})
    server, agent = (agent_config_of(key, settings, platform)["acl"] for key in ("docker01", "docker04"))
    assert isinstance(server, dict)
    assert isinstance(agent, dict)
    assert (server["enabled"], server["default_policy"]) == (True, "deny")
    assert "tokens" not in server
    tokens = platform.identity.store_tokens
    assert tokens is not None
    assert acl_tokens(tokens, server=False) == {"agent": "PRIVATE AGENTS TOKEN", "default": "PRIVATE ENGINES TOKEN"}
    assert acl_tokens(tokens, server=True) == acl_tokens(tokens, server=False) | {"master": "PRIVATE MANAGEMENT TOKEN"}
