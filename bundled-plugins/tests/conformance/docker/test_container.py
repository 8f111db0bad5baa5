"""Container: made, found, changed and removed in a real daemon."""

from __future__ import annotations

import threading
import time

import pytest
from bundled_plugins.runtime.values import UNKNOWN, Secret

from conformance.daemons import IMAGE, PrivateDocker
from conformance.harness import CallFailed, Managed, Provider, Refused, running

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"
SLEEP = {"image": IMAGE, "command": ["sleep", "600"]}


def made(provider: Provider, logical_name: str, **inputs: object) -> Managed:
    container = provider.resource(CONTAINER, logical_name)
    assert container.up(SLEEP | inputs) == "create"
    return container


def test_created_container_runs_and_is_known_by_its_full_id(provider: Provider, daemon: PrivateDocker) -> None:
    web = made(provider, "web")
    live = daemon.inspect(web.id)
    assert live["Id"] == web.id
    assert live["State"]["Running"]
    assert live["Name"] == f"/{web['name']}"
    assert web["name"].startswith("web-")
    assert len(web["name"]) == len("web-") + 7


def test_check_fills_the_defaults_that_the_official_provider_lists(provider: Provider) -> None:
    inputs = provider.check(CONTAINER, "web", {"image": IMAGE, "ports": [{"internal": 80}]})
    assert inputs["__defaults"] == [
        "containerReadRefreshTimeoutMilliseconds",
        "mustRun",
        "name",
        "networkMode",
        "removeVolumes",
        "restart",
        "start",
        "waitTimeout",
    ]
    assert inputs["networkMode"] == "bridge"
    assert inputs["containerReadRefreshTimeoutMilliseconds"] == 15000
    assert inputs["ports"] == [{"internal": 80, "ip": "0.0.0.0", "protocol": "tcp", "__defaults": ["ip", "protocol"]}]


def test_second_up_and_refresh_change_nothing(provider: Provider) -> None:
    web = made(provider, "web", envs=["B=2", "A=1"], labels=[{"label": "x", "value": "y"}])
    before = dict(web.inputs)
    assert web.up(SLEEP | {"envs": ["B=2", "A=1"], "labels": [{"label": "x", "value": "y"}]}) == "same"
    assert web.refresh()
    assert web.inputs == before
    assert web.up(SLEEP | {"envs": ["A=1", "B=2"], "labels": [{"label": "x", "value": "y"}]}) == "same"


def test_container_removed_outside_pulumi_is_gone_for_refresh(provider: Provider, daemon: PrivateDocker) -> None:
    web = made(provider, "web")
    daemon.api.remove_container(web.id, force=True)
    assert not web.refresh()


def test_a_daemon_that_does_not_answer_is_an_error_and_not_a_vanished_container(
    provider: Provider, daemon: PrivateDocker
) -> None:
    web = made(provider, "web", start=False, mustRun=False)
    daemon.stop_daemon()
    try:
        with pytest.raises(CallFailed, match=f"Cannot connect to the Docker daemon at {daemon.host}"):
            web.refresh()
        assert web.id
    finally:
        daemon.start_daemon()
    assert web.refresh()


def test_import_by_id_reads_what_the_daemon_knows(provider: Provider) -> None:
    web = made(provider, "web", hostname="inside", memory=64, memorySwap=64)
    live = provider.read(CONTAINER, "web", web.id)
    assert live is not None
    assert live.inputs["name"] == web["name"]
    assert live.inputs["image"] == IMAGE
    assert live.inputs["hostname"] == "inside"
    assert live.inputs["memory"] == 64
    assert "privileged" not in live.inputs
    assert "restart" not in live.inputs


# stopped containers


def test_stopped_container_is_started_again_by_the_next_up(provider: Provider, daemon: PrivateDocker) -> None:
    web = made(provider, "web")
    daemon.api.kill(web.id)
    daemon.wait_until_ended(web.id)
    assert web.refresh()
    assert web["mustRun"] is False
    assert web["exitCode"] == 137
    assert web.up(SLEEP) == "update"
    assert web.last_diff is not None
    assert web.last_diff.paths == {"mustRun": "UPDATE"}
    assert daemon.inspect(web.id)["State"]["Running"]
    assert web.up(SLEEP) == "same"


def test_job_that_need_not_run_keeps_its_exit_code_and_is_left_alone(provider: Provider, daemon: PrivateDocker) -> None:
    job = {"image": IMAGE, "command": ["sh", "-c", "exit 3"], "mustRun": False}
    container = provider.resource(CONTAINER, "job")
    container.up(job)
    daemon.wait_until_ended(container.id)
    assert container.refresh()
    assert container["exitCode"] == 3
    assert container.up(job) == "same"


def test_stopped_container_with_ports_is_replaced(provider: Provider, daemon: PrivateDocker) -> None:
    ports = {"ports": [{"internal": 80, "external": 18080}]}
    web = made(provider, "web", **ports)
    daemon.api.kill(web.id)
    daemon.wait_until_ended(web.id)
    assert web.refresh()
    assert web["ports"] == []
    plan = web.plan(SLEEP | ports)
    assert plan.replace
    assert "ports" in plan.replaces


def test_container_that_dies_at_once_is_a_success_and_then_not_running(
    provider: Provider, daemon: PrivateDocker
) -> None:
    container = provider.resource(CONTAINER, "brief")
    assert container.up({"image": IMAGE, "command": ["true"]}) == "create"
    daemon.wait_until_ended(container.id)
    assert container.refresh()
    assert container["mustRun"] is False
    assert container["exitCode"] == 0


def test_container_that_is_not_started_has_no_process(provider: Provider, daemon: PrivateDocker) -> None:
    idle = made(provider, "idle", start=False, mustRun=False)
    assert daemon.inspect(idle.id)["State"]["Status"] == "created"


# changes


def test_limits_change_in_place(provider: Provider, daemon: PrivateDocker) -> None:
    web = made(provider, "web", memory=64, memorySwap=64)
    changed = {"memory": 96, "memorySwap": 128, "cpuShares": 512, "restart": "on-failure", "maxRetryCount": 4}
    assert web.up(SLEEP | changed) == "update"
    host = daemon.inspect(web.id)["HostConfig"]
    assert host["Memory"] == 96 << 20
    assert host["MemorySwap"] == 128 << 20
    assert host["CpuShares"] == 512
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 4}
    assert web.refresh()
    assert web.up(SLEEP | changed) == "same"


def test_outputs_that_no_input_states_are_kept_by_an_update(provider: Provider) -> None:
    web = made(provider, "web", memory=64, memorySwap=64)
    before = dict(web.outputs)
    assert web.up(SLEEP | {"memory": 64, "memorySwap": 64, "cpuShares": 512}) == "update"
    assert web.outputs == before | {"cpuShares": 512}


def test_update_that_the_daemon_refuses_is_in_the_state_all_the_same(provider: Provider) -> None:
    web = made(provider, "web", memory=64, memorySwap=64)
    refused = SLEEP | {"memory": 64, "memorySwap": 64, "cpuSet": "4000"}
    with pytest.raises(
        CallFailed, match="Unable to update a container: Error response from daemon: Requested CPUs"
    ) as failed:
        web.up(refused)
    assert failed.value.partial is not None
    assert failed.value.partial.id == web.id
    assert web["cpuSet"] == "4000"
    # In the state of the engine the new inputs stand too.
    assert not provider.diff(CONTAINER, "web", web.id, web.outputs, web.inputs, web.inputs | {"cpuSet": "4000"}).changed


@pytest.mark.parametrize(
    "change", [{"healthcheck": {"tests": ["CMD", "true"]}}, {"tmpfs": {"/x": "size=1m"}}, {"init": True}]
)
def test_change_that_is_for_the_state_only_leaves_the_container_alone(
    provider: Provider, daemon: PrivateDocker, change: dict[str, object]
) -> None:
    web = made(provider, "web")
    before = daemon.inspect(web.id)
    assert web.up(SLEEP | change) == "update"
    after = daemon.inspect(web.id)
    assert after["HostConfig"] == before["HostConfig"]
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]


def test_replacement_deletes_first_so_that_a_fixed_name_is_free(provider: Provider, daemon: PrivateDocker) -> None:
    web = made(provider, "web", name="fixed")
    old = web.id
    assert web.up(SLEEP | {"name": "fixed", "hostname": "other"}) == "replace"
    assert web.last_diff is not None
    assert web.last_diff.delete_before_replace
    assert web.last_diff.replaces == ["hostname"]
    assert web.id != old
    assert daemon.names() == {"fixed"}


def test_state_of_the_official_plugin_is_taken_over(provider: Provider, daemon: PrivateDocker) -> None:
    web = made(provider, "web", memory=64, memorySwap=64)
    web.outputs |= {
        "id": web.id,
        "__meta": "{}",
        "__pulumi_raw_state_delta": {"x": 1},
        "gpus": "",
        "deviceRequests": [],
    }
    limits = {"memory": 64, "memorySwap": 64}
    assert web.up(SLEEP | limits) == "same"
    provider.update(CONTAINER, "web", web.id, web.outputs, web.inputs, web.inputs | {"cpuShares": 128})
    assert daemon.inspect(web.id)["HostConfig"]["CpuShares"] == 128
    assert web.refresh()


# files, networks, health


def test_uploads_arrive_before_the_first_process(provider: Provider, daemon: PrivateDocker) -> None:
    box = made(
        provider,
        "box",
        command=["sh", "-c", "sh /opt/new/run.sh && sleep 600"],
        uploads=[
            {"file": "/opt/new/run.sh", "content": "cat /etc/deep/data > /root/out\n", "executable": True},
            {"file": "/etc/deep/data", "contentBase64": "AAH/", "permissions": "0640"},
        ],
    )
    stat = daemon.cli("exec", box.id, "stat", "-c", "%a %u %s", "/opt/new/run.sh", "/etc/deep/data")
    assert stat.splitlines() == ["744 0 31", "640 0 3"]
    assert daemon.cli("exec", box.id, "stat", "-c", "%s", "/root/out") == "3"


def test_upload_from_a_missing_file_fails_before_anything_is_created(provider: Provider, daemon: PrivateDocker) -> None:
    with pytest.raises(CallFailed, match="could not read file: open /no/such/file: No such file or directory"):
        made(provider, "box", uploads=[{"file": "/x", "source": "/no/such/file"}])
    assert daemon.names() == set()


def test_upload_must_have_exactly_one_content(provider: Provider) -> None:
    with pytest.raises(CallFailed, match="only one of 'content', 'content_base64', or 'source' can be set"):
        made(provider, "box", uploads=[{"file": "/x", "source": "/a", "content": "b"}])
    with pytest.raises(CallFailed, match="one of 'content', 'content_base64', or 'source' must be set"):
        made(provider, "box", uploads=[{"file": "/x"}])


def test_networks_replace_the_bridge_and_carry_address_and_aliases(provider: Provider, daemon: PrivateDocker) -> None:
    network = provider.resource(NETWORK, "lab")
    network.up({"name": "lab", "ipamConfigs": [{"subnet": "10.77.0.0/24"}]})
    attached = {"networksAdvanced": [{"name": network["name"], "ipv4Address": "10.77.0.9", "aliases": ["nine"]}]}
    web = made(provider, "web", **attached)
    networks = daemon.inspect(web.id)["NetworkSettings"]["Networks"]
    assert set(networks) == {"lab"}
    assert networks["lab"]["IPAddress"] == "10.77.0.9"
    assert "nine" in networks["lab"]["Aliases"]
    assert web["networkDatas"][0]["networkName"] == "lab"
    assert web["networkDatas"][0]["ipAddress"] == "10.77.0.9"
    assert web.refresh()
    assert web.up(SLEEP | attached) == "same"
    assert web.plan(SLEEP | {"networksAdvanced": [{"name": "lab", "ipv4Address": "10.77.0.10"}]}).replace


def test_container_can_share_another_ones_network(provider: Provider) -> None:
    web = made(provider, "web")
    shared = {"networkMode": f"container:{web.id}"}
    side = made(provider, "side", **shared)
    assert side.refresh()
    assert side.up(SLEEP | shared) == "same"


def test_published_ports_are_read_back(provider: Provider) -> None:
    ports: list[dict[str, object]] = [{"internal": 80}, {"internal": 81, "external": 18081}]
    web = made(provider, "web", ports=ports)
    assert [port["internal"] for port in web["ports"]] == [80, 81]
    assert web["ports"][0]["external"] >= 1024
    assert web.refresh()
    assert web.up(SLEEP | {"ports": ports}) == "same"
    assert web.plan(SLEEP | {"ports": [{"internal": 80}, {"internal": 81, "external": 18082}]}).replace


def test_the_order_of_ports_does_not_matter_where_every_node_port_is_given(provider: Provider) -> None:
    ports = [{"internal": 81, "external": 18081}, {"internal": 80, "external": 18080}]
    web = made(provider, "web", ports=ports)
    assert web.up(SLEEP | {"ports": ports}) == "same"
    assert web.refresh()
    assert web.up(SLEEP | {"ports": ports}) == "same"
    assert web.up(SLEEP | {"ports": ports[::-1]}) == "same"


@pytest.mark.parametrize(
    "ports",
    [
        [{"internal": 81}, {"internal": 80}],
        [{"internal": 81, "external": 18081}, {"internal": 80}],
        [{"internal": 80, "external": 18080}, {"internal": 80, "external": 18081}],
    ],
    ids=["unsorted", "unsorted with one node port", "one container port twice"],
)
def test_ports_that_the_official_provider_replaces_at_every_up(provider: Provider, ports: list[dict[str, int]]) -> None:
    web = made(provider, "web", ports=ports)
    for _ in range(2):
        assert web.up(SLEEP | {"ports": ports}) == "replace"
        assert web.last_diff is not None
        assert web.last_diff.replaces == ["ports"]


def test_wait_returns_when_the_container_is_healthy(provider: Provider, daemon: PrivateDocker) -> None:
    check = {"tests": ["CMD", "true"], "interval": "1s", "startPeriod": "1s"}
    web = made(provider, "web", wait=True, waitTimeout=30, healthcheck=check)
    assert daemon.inspect(web.id)["State"]["Health"]["Status"] == "healthy"
    assert web.refresh()
    assert web.up(SLEEP | {"wait": True, "waitTimeout": 30, "healthcheck": check}) == "same"


def test_wait_gives_up_in_time_and_keeps_the_container(provider: Provider) -> None:
    check = {"tests": ["CMD", "false"], "interval": "1s"}
    with pytest.raises(CallFailed, match="container failed to be in healthy state") as failed:
        made(provider, "web", wait=True, waitTimeout=2, healthcheck=check)
    assert failed.value.partial is not None
    assert failed.value.partial.id


def test_wait_without_a_healthcheck_is_an_error(provider: Provider) -> None:
    with pytest.raises(CallFailed, match="does not have a healthcheck defined"):
        made(provider, "web", wait=True)


# failures


def test_name_in_use_is_reported_with_its_container(provider: Provider) -> None:
    first = made(provider, "one", name="taken")
    with pytest.raises(CallFailed) as failed:
        made(provider, "two", name="taken")
    assert failed.value.message == (
        "1 error occurred:\n\t* Unable to create container: Error response from daemon: Conflict. The container name "
        f'"/taken" is already in use by container "{first.id}". You have to remove (or rename) that container to be '
        "able to reuse that name.\n\n"
    )
    assert failed.value.partial is None


def test_missing_image_that_cannot_be_pulled(provider: Provider, daemon: PrivateDocker) -> None:
    with pytest.raises(
        CallFailed,
        match=r"Unable to create container with image 127\.0\.0\.1:1/no:1: unable to pull image 127\.0\.0\.1:1/no:1: "
        r"error pulling image 127\.0\.0\.1:1/no:1: Error response from daemon: ",
    ):
        made(provider, "web", image="127.0.0.1:1/no:1")
    assert daemon.names() == set()


def test_a_container_whose_start_failed_is_replaced_by_the_next_up(provider: Provider, daemon: PrivateDocker) -> None:
    web = provider.resource(CONTAINER, "web")
    broken = SLEEP | {"name": "web", "command": ["/no/such/program"]}
    with pytest.raises(CallFailed, match="Unable to start container: Error response from daemon: ") as failed:
        web.up(broken)
    partial = failed.value.partial
    assert partial is not None
    assert partial.id == daemon.inspect(partial.id)["Id"]
    assert partial.reasons[0].startswith(f"creating {provider.urn(CONTAINER, 'web')}: 1 error occurred:\n\t* Unable ")
    plan = web.plan(broken)
    assert plan.replace
    assert plan.delete_before_replace
    with pytest.raises(CallFailed, match="Unable to start container"):
        web.up(broken)
    assert web.id != partial.id
    assert web.refresh(), "a refresh completes the state"
    assert web.plan(broken).paths == {"mustRun": "UPDATE"}
    assert daemon.names() == {"web"}


def test_unknown_network_fails_the_start(provider: Provider) -> None:
    with pytest.raises(CallFailed, match="Unable to start container: Error response from daemon: network nowhere not"):
        made(provider, "web", networksAdvanced=[{"name": "nowhere"}])


def test_static_address_needs_a_network_with_a_subnet(provider: Provider) -> None:
    provider.resource(NETWORK, "plain").up({"name": "plain"})
    with pytest.raises(
        CallFailed,
        match="Unable to connect to network 'plain': Error response from daemon: user specified IP address is "
        "supported only when connecting to networks with user configured subnets",
    ):
        made(provider, "web", networksAdvanced=[{"name": "plain", "ipv4Address": "10.1.1.1"}])


@pytest.mark.bundled_only("refusals")
def test_several_wrong_inputs_are_all_named(provider: Provider) -> None:
    with pytest.raises(Refused) as refused:
        provider.check(
            CONTAINER,
            "web",
            {
                "gpus": "all",
                "restart": "sometimes",
                "ports": [{"internal": "eighty"}],
                "volumes": [{"containerPath": "relative"}],
                "healthcheck": {"tests": ["true"], "interval": "soon"},
                "uploads": [{"file": "/x", "content": "", "permissions": "644"}],
            },
        )
    failures = {failure.property for failure in refused.value.failures}
    assert failures == {
        "image",
        "gpus",
        "restart",
        "ports[0].internal",
        "volumes[0].containerPath",
        "healthcheck.interval",
        "uploads[0].permissions",
    }
    assert "not supported by the bundled plugin" in refused.value.reason("gpus")
    assert refused.value.reason("image") == "Missing required property 'image'"
    assert "relative" in refused.value.reason("volumes[0].containerPath")


# removal


def test_removal_is_at_once_unless_a_grace_period_is_in_the_state(provider: Provider, daemon: PrivateDocker) -> None:
    slow = ["sh", "-c", "trap 'sleep 2; exit 0' TERM; touch /tmp/ready; while :; do sleep 1; done"]

    def removal_s(name: str, **inputs: object) -> float:
        container = made(provider, name, command=slow, **inputs)
        daemon.wait_for_file(container.id, "/tmp/ready")
        started = time.monotonic()
        container.destroy()
        return time.monotonic() - started

    assert removal_s("at-once") < 2
    assert 2 <= removal_s("graceful", destroyGraceSeconds=20) < 15
    assert daemon.names() == set()


def test_removing_what_is_gone_succeeds(provider: Provider, daemon: PrivateDocker) -> None:
    web = made(provider, "web")
    daemon.api.remove_container(web.id, force=True)
    web.destroy()


def test_anonymous_volumes_are_removed_with_the_container_by_default(provider: Provider, daemon: PrivateDocker) -> None:
    gone = made(provider, "gone", volumes=[{"containerPath": "/data"}])
    gone.destroy()
    assert not daemon.api.volumes()["Volumes"]
    kept = made(provider, "kept", volumes=[{"containerPath": "/data"}], removeVolumes=False)
    kept.destroy()
    assert len(daemon.api.volumes()["Volumes"]) == 1


# previews


def test_preview_promises_what_it_can_and_touches_nothing(provider: Provider, daemon: PrivateDocker) -> None:
    inputs = provider.check(CONTAINER, "web", SLEEP | {"networksAdvanced": [{"name": UNKNOWN, "aliases": ["a"]}]})
    planned = provider.preview(CONTAINER, "web", inputs)
    assert planned["image"] == IMAGE
    assert planned["networksAdvanced"] == [{"name": UNKNOWN, "aliases": ["a"]}]
    for name in ("bridge", "networkDatas", "exitCode", "hostname", "shmSize", "envs"):
        assert planned[name] is UNKNOWN
    assert daemon.names() == set()


def test_unknown_network_name_means_replacement_before_deletion(provider: Provider) -> None:
    provider.resource(NETWORK, "lab").up({"name": "lab"})
    web = made(provider, "web", networksAdvanced=[{"name": "lab"}])
    plan = web.plan(SLEEP | {"networksAdvanced": [{"name": UNKNOWN}]})
    assert plan.replace
    assert plan.delete_before_replace


def test_unknown_values_may_be_anywhere(provider: Provider) -> None:
    unknown = {
        "healthcheck": {"tests": UNKNOWN, "interval": "1s"},
        "capabilities": {"adds": UNKNOWN},
        "ports": [{"internal": UNKNOWN, "external": 80}],
        "hosts": UNKNOWN,
        "logOpts": {"max-size": UNKNOWN},
        "envs": ["A=1", UNKNOWN],
    }
    inputs = provider.check(CONTAINER, "web", SLEEP | unknown)
    assert inputs["healthcheck"]["tests"] is UNKNOWN
    assert inputs["envs"] == ["A=1", UNKNOWN]
    assert provider.preview(CONTAINER, "web", inputs)["ports"][0]["internal"] is UNKNOWN


def test_secrets_reach_the_daemon_and_stay_secret_in_the_state(provider: Provider, daemon: PrivateDocker) -> None:
    secret = {"envs": Secret(["TOKEN=hush"]), "uploads": [{"file": "/k", "content": Secret("hush")}]}
    web = made(provider, "web", **secret)
    assert "TOKEN=hush" in daemon.inspect(web.id)["Config"]["Env"]
    for _ in range(2):
        assert web.outputs["envs"] == Secret(["TOKEN=hush"])
        assert isinstance(web.outputs["uploads"], Secret)
        assert web.inputs["envs"] == Secret(["TOKEN=hush"])
        assert web.up(SLEEP | secret) == "same"
        assert web.refresh()
    assert web.plan(SLEEP | secret | {"envs": Secret(["TOKEN=other"])}).replaces == ["envs"]


# limits and cancellation


UNHEALTHY = {"wait": True, "waitTimeout": 60, "healthcheck": {"tests": ["CMD", "false"], "interval": "1s"}}


@pytest.mark.bundled_only("limits")
def test_stated_time_limit_ends_a_long_wait(provider: Provider) -> None:
    started = time.monotonic()
    web = provider.resource(CONTAINER, "web")
    with pytest.raises(CallFailed, match="the time limit of 2 s has passed"):
        web.up(SLEEP | UNHEALTHY, timeout=2)
    assert time.monotonic() - started < 10
    assert web.id


@pytest.mark.bundled_only("limits")
def test_cancel_ends_a_long_wait_and_keeps_the_container(daemon: PrivateDocker) -> None:
    with running("bundled_plugins.docker", {"host": daemon.host}) as provider:
        web = provider.resource(CONTAINER, "web")
        threading.Timer(1.5, provider.cancel).start()
        started = time.monotonic()
        with pytest.raises(CallFailed, match="cancelled"):
            web.up(SLEEP | UNHEALTHY)
        assert time.monotonic() - started < 10
        assert web.id == daemon.inspect(web.id)["Id"]
    daemon.clear()
