"""The dev lab under mocks: what is declared, with which options, in which order."""

from __future__ import annotations

import json
from pathlib import Path

import pulumi
import pytest

from components.config.settings import Settings, parse, read_stack_file
from overlab.platform import identity
from tests.components.recorder import Answers, Declared, Recorder, make_platform, run_lab

PROJECT = Path(__file__).parents[2]
COMMAND = "command:remote:Command"
CONTAINER = "docker:index/container:Container"
DOMAIN = "libvirt:index/domain:Domain"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return parse(read_stack_file(PROJECT, "dev"), "dev")


@pytest.fixture(scope="module")
def lab(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    return run_lab(settings, make_platform(tmp_path_factory.mktemp("platform"), settings))


@pytest.fixture(scope="module", params=["vm", "container"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """The lab with each kind of node."""
    settings = dev(request.param)
    return run_lab(settings, make_platform(tmp_path_factory.mktemp("platform"), settings))


def dev(kind: str) -> Settings:
    """The dev lab, its nodes of this kind."""
    raw = read_stack_file(PROJECT, "dev")
    assert isinstance(raw, dict)
    return parse({**raw, "machine": {**raw["machine"], "kind": kind}}, "dev")


def instances(lab: Recorder) -> dict[str, Declared]:
    """What each node is: its domain, or its container on the outer engine."""
    found = [*lab.of(DOMAIN), *(item for item in lab.of(CONTAINER) if item.provider.endswith("::outer-engine"))]
    return {item.name.removesuffix("-domain").removesuffix("-container"): item for item in found}


def inside(lab: Recorder) -> list[Declared]:
    """Everything on the nodes."""
    found = [item for item in lab.declared.values() if item.type.startswith(("docker:", "command:remote:"))]
    return [item for item in found if not item.provider.endswith("::outer-engine")]


def named(lab: Recorder, type_: str, name: str) -> Declared:
    (found,) = [item for item in lab.of(type_) if item.name == name]
    return found


def reach(lab: Recorder, urn: str) -> set[str]:
    """Everything that a resource comes after: dependencies, its provider's too."""
    seen: set[str] = set()
    todo = [urn]
    while todo:
        item = lab.declared[todo.pop()]
        for other in {*item.dependencies, *([item.provider] if item.provider else [])} - seen:
            seen.add(other)
            todo.append(other)
    return seen


def test_no_two_resources_share_a_name_within_their_type(either: Recorder) -> None:
    names = [(item.type, item.name) for item in either.declared.values()]
    assert len(set(names)) == len(names)


def test_every_resource_has_a_parent_and_every_custom_one_a_provider_of_ours(either: Recorder) -> None:
    custom = [i for i in either.declared.values() if not i.type.startswith(("overlab:", "pulumi:"))]
    assert custom
    assert all(item.provider in either.declared for item in custom)
    assert {item.type for item in either.declared.values() if not item.parent} <= {"pulumi:pulumi:Stack"}


def test_resources_inside_a_machine_are_deleted_with_it(either: Recorder) -> None:
    assert len(instances(either)) == 3
    assert {item.deleted_with for item in inside(either)} == {item.urn for item in instances(either).values()}
    # The engine deletes those in no order.
    assert not any(item.replace_with for item in either.declared.values())


def test_resources_inside_a_machine_have_its_id_among_their_inputs(either: Recorder) -> None:
    """An update may end between a new machine and what belongs on it; the next one must see the difference."""
    for item in inside(either):
        machine = item.deleted_with.rsplit("::", 1)[1] + "_id"
        labels = {label["value"] for label in item.inputs.get("labels") or []}
        triggers = item.inputs.get("triggers") or []
        assert machine in {*labels, *(triggers.values() if isinstance(triggers, dict) else triggers)}, item.urn


def test_overlays_are_deleted_with_the_stores_machine_whichever_engine_created_them(either: Recorder) -> None:
    overlay = named(either, "docker:index/network:Network", "ov_net1")
    assert overlay.deleted_with == instances(either)["docker01"].urn
    assert overlay.provider.endswith("::docker02-docker")


def test_an_overlay_from_the_pool_comes_after_those_with_a_subnet(either: Recorder) -> None:
    before = {
        urn.rsplit("::", 1)[1] for urn in reach(either, named(either, "docker:index/network:Network", "ov_net2").urn)
    }
    assert {"ov_net1", "ov_net3", "ov_closed"} <= before


@pytest.mark.parametrize("stated", [(), ("10.0.0.0/24", "10.0.1.0/24")])
def test_no_two_engines_create_the_stores_table_of_vxlan_ids(tmp_path: Path, stated: tuple[str, ...]) -> None:
    networks: dict[str, object] = {
        f"stated{n}": {"created_on": "docker01", "subnet": subnet} for n, subnet in enumerate(stated)
    }
    networks |= {f"pooled{n}": {"created_on": "docker02"} for n in range(2)}
    raw = read_stack_file(PROJECT, "dev")
    assert isinstance(raw, dict)
    settings = parse({**raw, "networks": networks, "workloads": {}}, "dev")
    found = run_lab(settings, make_platform(tmp_path, settings))
    created = [item.urn for item in found.of("docker:index/network:Network")]
    alone = [urn for urn in created if all(urn in {other, *reach(found, other)} for other in created)]
    assert len(created) == len(networks)
    assert len(alone) == 1


def test_workloads_come_after_store_membership_and_overlay(either: Recorder) -> None:
    for name in ("t1", "t2", "t3"):
        before = {urn.rsplit("::", 1)[1] for urn in reach(either, named(either, CONTAINER, name).urn)}
        joined = {"docker01-joined", "docker02-joined", "docker03-joined"}
        assert {"docker01-consul", "ov_net1", *joined} <= before


def test_the_first_workload_of_an_overlay_starts_alone(either: Recorder, settings: Settings) -> None:
    created = {item.name: item.urn for item in either.of(CONTAINER)}
    for overlay in settings.networks:
        members = [created[name] for name, spec in settings.workloads.items() if overlay in spec.networks]
        assert len([one for one in members if all(one in {other, *reach(either, other)} for other in members)]) == 1


def test_a_workload_on_several_networks_keeps_no_other_from_being_the_first(either: Recorder) -> None:
    """In dev t3 is on ov_net1 and ov_net2: web1 begins ov_net2 beside t1."""
    workloads = {item.name: item.urn for item in inside(either) if item.type == CONTAINER}

    def before(name: str) -> set[str]:
        return {other for other, urn in workloads.items() if urn in reach(either, workloads[name])}

    assert not {"t1", "t3"} & (before("web1") | before("web2"))
    assert {"t1", "web1"} <= before("t3")


def test_the_store_does_not_wait_for_the_cluster(either: Recorder) -> None:
    before = {urn.rsplit("::", 1)[1] for urn in reach(either, named(either, CONTAINER, "docker01-consul").urn)}
    assert "docker01-dockerd" in before
    assert not before & {"docker02-dockerd", "docker01-joined", "ov_net1"}


def test_nodes_proceed_in_parallel_up_to_their_engines(either: Recorder) -> None:
    before = reach(either, named(either, COMMAND, "docker02-dockerd").urn)
    assert not any("docker01" in urn or "docker03" in urn for urn in before)


def test_remote_commands_pin_the_nodes_host_key_and_hide_the_client_key(either: Recorder) -> None:
    nodes = {item.urn: node for node, item in instances(either).items()}
    for item in either.of(COMMAND):
        assert item.inputs["connection"]["hostKey"] == f"ssh-ed25519 KEY-OF-{nodes[item.deleted_with]}"
        assert "connection" in item.secrets


def test_docker_over_ssh_pins_host_keys(either: Recorder) -> None:
    nodes = [item for item in either.of("pulumi:providers:docker") if item.name != "outer-engine"]
    assert len(nodes) == 3
    for item in nodes:
        options = json.loads(item.inputs["sshOpts"])
        assert options[:2] == ["-F", "/dev/null"]
        assert {"StrictHostKeyChecking=yes", "IdentityAgent=none"} <= set(options)
        assert item.inputs["host"].startswith("ssh://root@10.99.0.")


def test_first_boot_data_is_secret_and_names_the_disk(lab: Recorder) -> None:
    for node in ("docker01", "docker02", "docker03"):
        seed = named(lab, "libvirt:index/cloudInitDisk:CloudInitDisk", f"{node}-seed")
        disk = named(lab, "libvirt:index/volume:Volume", f"{node}-disk")
        assert "userData" in seed.secrets
        assert seed.inputs["name"].removesuffix(".iso") == disk.inputs["name"].removesuffix(".qcow2")


def test_domains_are_deleted_before_they_are_replaced(lab: Recorder) -> None:
    assert len(lab.of(DOMAIN)) == 3
    assert all(item.delete_before_replace for item in lab.of(DOMAIN))


def test_every_container_has_a_memory_limit_and_a_restart_policy(either: Recorder) -> None:
    for item in either.of(CONTAINER):
        assert item.inputs["memory"] > 0
        assert item.inputs["restart"] in {"always", "unless-stopped", "no"}


def test_a_container_whose_start_failed_is_replaced(either: Recorder) -> None:
    for item in either.of(CONTAINER):
        assert item.replace_on_changes == ["#initerror"]
        assert item.delete_before_replace


def test_no_secret_is_in_a_plain_input(either: Recorder) -> None:
    for item in either.declared.values():
        plain = {key: value for key, value in item.inputs.items() if key not in item.secrets}
        assert "PRIVATE" not in json.dumps(plain, default=str), item.urn


def test_new_certificates_change_engines_and_gates_alone(settings: Settings, tmp_path: Path) -> None:
    """What Pulumi would see of a rotation: the engines' script, and that the gates run again."""
    assert settings.engine.api == "tls"
    platform = make_platform(tmp_path, settings)
    before = run_lab(settings, platform)
    tls = platform.identity.tls
    assert tls is not None
    for path in (*tls.server_certs.values(), *tls.server_keys.values()):
        path.write_text(f"NEW {path.read_text()}")
    after = run_lab(settings, platform)
    changed = {
        (item.name, key)
        for urn, item in after.declared.items()
        for key in item.inputs
        if item.inputs[key] != before.declared[urn].inputs[key]
    }
    dockerd = {(f"{node}-dockerd", "stdin") for node in settings.nodes}
    assert changed == dockerd | {("engines-configured", "triggers")}
    for node in settings.nodes:
        gate = named(after, COMMAND, f"{node}-joined")
        assert "engines-configured_id" in gate.inputs["triggers"]
        assert {named(after, COMMAND, f"{other}-dockerd").urn for other in settings.nodes} <= reach(after, gate.urn)
    assert all("stdin" in named(after, COMMAND, f"{node}-dockerd").secrets for node in settings.nodes)


def test_one_more_check_runs_those_of_every_node(settings: Settings, lab: Recorder, tmp_path: Path) -> None:
    """A check of bulk needs a listener, which a node has only while its own checks run."""
    raw = read_stack_file(PROJECT, "dev")
    assert isinstance(raw, dict)
    more = {"more": {"kind": "ping-ip", "source": "t1", "target": "t2", "network": "ov_net1"}}
    after = run_lab(parse({**raw, "checks": more}, "dev"), make_platform(tmp_path, settings))
    for node in settings.nodes:
        before, now = (named(one, COMMAND, f"{node}-checks").inputs["triggers"] for one in (lab, after))
        assert before != now


def test_an_up_in_which_a_check_reported_no_result_fails(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ended it: a script that printed less, and exit code 0."""
    results = Answers.results
    monkeypatch.setattr(
        Answers,
        "results",
        lambda self, script: [line for line in results(self, script) if '"control-plane:t3:docker01"' not in line],
    )
    message = r"1 of 124 checks reported no result: control-plane:t3:docker01 \(on docker03\)"
    with pytest.raises(pulumi.RunError, match=message):
        run_lab(settings, make_platform(tmp_path, settings))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """The lab of stack ci, whose store has access lists."""
    settings = parse(read_stack_file(PROJECT, "ci"), "ci")
    assert settings.store.has_acl
    return run_lab(settings, make_platform(tmp_path_factory.mktemp("platform"), settings))


def test_tokens_are_created_after_every_agent_and_before_any_gate(guarded: Recorder) -> None:
    (access,) = [item for item in guarded.of(COMMAND) if item.name.endswith("-store-access")]
    agents = {item.urn for item in guarded.of(CONTAINER) if item.name.endswith("-consul")}
    assert len(agents) == 3
    assert agents <= reach(guarded, access.urn)
    for node in ("docker01", "docker02", "docker03"):
        assert access.urn in reach(guarded, named(guarded, COMMAND, f"{node}-joined").urn)
    assert {f"docker0{n}-consul_id" for n in (1, 2, 3)} <= set(access.inputs["triggers"])


def test_tokens_are_in_secrets_alone(guarded: Recorder) -> None:
    test_no_secret_is_in_a_plain_input(guarded)
    (access,) = [item for item in guarded.of(COMMAND) if item.name.endswith("-store-access")]
    assert "stdin" in access.secrets
    assert '"management": ["PRIVATE MANAGEMENT TOKEN"]' in access.inputs["stdin"]
    for node in ("docker01", "docker02", "docker03"):
        agent = named(guarded, CONTAINER, f"{node}-consul")
        assert agent.secrets == set()
        secrets = named(guarded, COMMAND, f"{node}-store-secrets")
        assert "stdin" in secrets.secrets
        assert secrets.urn in reach(guarded, agent.urn)
        for text in ("PRIVATE ENGINES TOKEN", "PRIVATE GOSSIP KEY", f"PRIVATE STORE KEY OF {node}"):
            assert text in secrets.inputs["stdin"]


def test_other_secrets_recreate_nothing(tmp_path: Path) -> None:
    """A rotation changes what scripts install; beside it the gates run again that follow a restart of the engines."""
    settings = parse(read_stack_file(PROJECT, "ci"), "ci")
    platform = make_platform(tmp_path, settings)
    before = run_lab(settings, platform)
    of_machines = (
        "client",
        "client.pub",
        "known_hosts",
        *(f"{node}.{half}" for node in settings.nodes for half in ("private", "public")),
    )
    for path in [path for path in tmp_path.iterdir() if path.name not in of_machines]:
        path.write_text(f"OTHER {path.read_text()}")
    after = run_lab(settings, platform)
    changed = {
        item.name: {key for key in item.inputs if item.inputs[key] != before.declared[urn].inputs.get(key)}
        for urn, item in after.declared.items()
    }
    steps = {f"docker0{n}-{step}" for n in (1, 2, 3) for step in ("dockerd", "store-secrets", "store-reload")}
    steps |= {"docker01-store-access", "docker01-store-prune"}
    assert {name for name, keys in changed.items() if keys == {"stdin"}} == steps
    gates = {f"docker0{n}-joined" for n in (1, 2, 3)} | {"engines-configured"}
    assert {name for name, keys in changed.items() if keys} - steps <= gates


@pytest.mark.parametrize("kind", ["vm", "container"])
def test_other_ssh_keys_recreate_no_node_and_are_installed_before_anything_else(tmp_path: Path, kind: str) -> None:
    settings = dev(kind)
    identity.ensure(tmp_path / "identity", settings.name, {key: str(n.address) for key, n in settings.nodes.items()})

    def declared() -> Recorder:
        nodes = {key: str(node.address) for key, node in settings.nodes.items()}
        keys = identity.ensure(tmp_path / "identity", settings.name, nodes)
        return run_lab(settings, make_platform(tmp_path, settings).model_copy(update={"identity": keys}))

    before = declared()
    identity.rotate_ssh(tmp_path / "identity", settings.nodes)
    after = declared()
    ours = (
        DOMAIN,
        CONTAINER,
        "libvirt:index/volume:Volume",
        "libvirt:index/cloudInitDisk:CloudInitDisk",
        "docker:index/volume:Volume",
    )
    for item in (item for item in after.declared.values() if item.type in ours):
        assert item.inputs == before.declared[item.urn].inputs
    added = {item.name for urn, item in after.declared.items() if urn not in before.declared}
    assert added == {f"{node}-keys" for node in settings.nodes}
    for node in settings.nodes:
        keys = named(after, "command:local:Command", f"{node}-keys")
        assert "PRIVATE KEY" not in str(keys.inputs)
        assert keys.urn in named(after, COMMAND, f"{node}-reachable").dependencies
        assert (
            named(after, COMMAND, f"{node}-dockerd").inputs["connection"]
            != (named(before, COMMAND, f"{node}-dockerd").inputs["connection"])
        )
    identity.rotate_ssh(tmp_path / "identity", settings.nodes)
    again = declared()
    for node in settings.nodes:
        urn = named(after, "command:local:Command", f"{node}-keys").urn
        assert again.declared[urn].inputs["stdin"] != after.declared[urn].inputs["stdin"]


def test_each_agent_reads_its_new_secrets_after_the_store_knows_them_and_before_old_ones_go(guarded: Recorder) -> None:
    access = named(guarded, COMMAND, "docker01-store-access").urn
    prune = reach(guarded, named(guarded, COMMAND, "docker01-store-prune").urn)
    for node in ("docker01", "docker02", "docker03"):
        reload = named(guarded, COMMAND, f"{node}-store-reload").urn
        assert access in reach(guarded, reload)
        assert reload in prune


def test_another_image_renames_the_base_volume(settings: Settings, tmp_path: Path) -> None:
    platform = make_platform(tmp_path, settings)
    assert platform.image is not None
    other = platform.model_copy(
        update={"image": platform.image.model_copy(update={"content_hash": "feedfacefeedface"})}
    )
    names = [
        named(run_lab(settings, g), "libvirt:index/volume:Volume", "storage-base").inputs["name"]
        for g in (platform, other)
    ]
    assert names == ["base-0123456789abcdef.qcow2", "base-feedfacefeedface.qcow2"]


def test_nodes_pull_by_digest_what_the_labs_own_registry_serves(settings: Settings, tmp_path: Path) -> None:
    digests = {
        name: f"sha256:{index:064x}" for index, name in enumerate(("library/busybox:1.35", "library/consul:1.8"))
    }
    platform = make_platform(tmp_path, settings).model_copy(update={"image_digests": digests})
    lab = run_lab(settings, platform)
    busybox, consul = (
        f"{name}@{digests[f'library/{name}:{tag}']}" for name, tag in (("busybox", "1.35"), ("consul", "1.8"))
    )
    pulled = {item.inputs["name"] for item in lab.of("docker:index/remoteImage:RemoteImage")}
    assert {busybox, consul} < pulled
    assert not pulled & {"busybox:1.35", "consul:1.8"}
    run = {item.name: item.inputs["image"] for item in lab.of(CONTAINER)}
    assert (run["t1"], run["docker01-consul"]) == (busybox, consul)
    assert set(run.values()) == pulled
    assert named(lab, "docker:index/remoteImage:RemoteImage", "docker01-busybox:1.35").inputs["name"] == busybox


def test_a_preview_declares_up_to_what_it_cannot_know(settings: Settings, tmp_path: Path) -> None:
    lab = run_lab(settings, make_platform(tmp_path, settings), preview=True)
    assert len(lab.of(DOMAIN)) == 3
    assert len(lab.of(CONTAINER)) == 1 + len(settings.workloads)
    settings = dev("container")
    lab = run_lab(settings, make_platform(tmp_path, settings), preview=True)
    assert len(lab.of(CONTAINER)) == 3 + 1 + len(settings.workloads)


TOKENS = {
    "overlab:index:Connectivity",
    "overlab:index:DockerEngine",
    "overlab:index:Lab",
    "overlab:index:Machine",
    "overlab:index:Membership",
    "overlab:index:Barrier",
    "overlab:index:NodeImages",
    "overlab:index:Network",
    "overlab:index:Networks",
    "overlab:index:Storage",
    "overlab:index:Store",
    "overlab:index:StoreAccess",
    "overlab:index:StoreAgent",
    "overlab:index:Underlay",
    "overlab:index:Workload",
}


def test_type_tokens_are_public_names(lab: Recorder, guarded: Recorder) -> None:
    declared = [*lab.declared.values(), *guarded.declared.values()]
    assert {item.type for item in declared if item.type.startswith("overlab:")} == TOKENS


def test_whatever_a_stack_file_may_state_of_a_workload_its_component_takes(tmp_path: Path) -> None:
    """The component validates too: what it refused would be refused in the middle of an update."""
    workload = {
        "node": "docker01",
        "image": "registry.example:5000/nginx:1.18",
        "command": "nginx -g 'daemon off;'",
        "environment": ["A=1", "TOKEN="],
        "labels": {"tier": "front", "Org.Example/x": ""},
        "hostname": "Web_1.example.net",
        "dns": "10.0.0.53",
        "dns_search": ["example.net", "a_b.example"],
        "extra_hosts": ["db.internal:10.0.0.9", "a_b=10.0.0.10"],
        "networks": {"front": {"ipv4_address": "10.80.0.150", "aliases": ["www"]}},
        "ports": ["8080:80", 9090, "53:53/udp"],
        "http_port": 80,
        "memory_mib": 6,
    }
    front = {"created_on": "docker01", "subnet": "10.80.0.0/24", "ip_range": "10.80.0.128/25", "mtu": 1280}
    front |= {"gateway": "10.80.0.1", "aux_addresses": {"router": "10.80.0.2", "a_b": "10.80.0.3"}}
    raw = {"nodes": {"docker01": {}}, "networks": {"front": front}, "workloads": {"web": workload}}
    raw["platform"] = {"registry_mirror": "http://10.99.0.1:5001"}  # the bundled registry does not have the image
    settings = parse(raw, "dev")
    lab = run_lab(settings, make_platform(tmp_path, settings))
    container = named(lab, CONTAINER, "web").inputs
    assert container["command"] == ["nginx", "-g", "daemon off;"]
    assert sorted(container["envs"]) == ["A=1", "TOKEN="]
    assert container["dns"] == ["10.0.0.53"]
    (network,) = lab.of("docker:index/network:Network")
    assert network.inputs["ipamConfigs"][0]["auxAddress"] == front["aux_addresses"]
