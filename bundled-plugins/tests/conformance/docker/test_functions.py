"""The invokes."""

from __future__ import annotations

import pytest

from conformance.daemons import IMAGE, PrivateDocker
from conformance.harness import CallFailed, Provider, Refused

NETWORK = "docker:index/network:Network"
CONTAINER = "docker:index/container:Container"

pytestmark = [pytest.mark.root]


def test_network_by_name_with_its_endpoints(provider: Provider) -> None:
    lab = provider.resource(NETWORK, "lab")
    lab.up({"name": "lab", "ipamConfigs": [{"subnet": "10.66.0.0/24"}]})
    web = provider.resource(CONTAINER, "web")
    web.up({"image": IMAGE, "command": ["sleep", "600"], "networksAdvanced": [{"name": "lab"}]})
    found = provider.invoke("docker:index/getNetwork:getNetwork", {"name": "lab"})
    assert found["id"] == lab.id
    assert found["ipamConfigs"] == [{"subnet": "10.66.0.0/24"}]
    (endpoint,) = found["containers"]
    assert endpoint["containerId"] == web.id
    assert endpoint["name"] == web["name"]
    assert endpoint["ipv4Address"].startswith("10.66.0.")


def test_missing_network(provider: Provider) -> None:
    with pytest.raises(
        CallFailed, match="Could not find docker network: Error response from daemon: network nowhere not found"
    ):
        provider.invoke("docker:index/getNetwork:getNetwork", {"name": "nowhere"})


def test_local_image_by_name(provider: Provider, daemon: PrivateDocker) -> None:
    found = provider.invoke("docker:index/getRemoteImage:getRemoteImage", {"name": IMAGE})
    assert found == {"id": daemon.image_id(IMAGE), "name": IMAGE, "repoDigest": ""}
    with pytest.raises(CallFailed, match="did not find docker image 'no:1'"):
        provider.invoke("docker:index/getRemoteImage:getRemoteImage", {"name": "no:1"})


def test_logs_line_by_line(provider: Provider) -> None:
    job = provider.resource(CONTAINER, "job")
    job.up({"image": IMAGE, "command": ["sh", "-c", "echo one; echo two"], "attach": True, "mustRun": False})
    found = provider.invoke("docker:index/getLogs:getLogs", {"name": job["name"]})
    assert found["logsListStrings"] == ["one", "two"]
    last = provider.invoke("docker:index/getLogs:getLogs", {"name": job["name"], "tail": "1"})
    assert last["logsListStrings"] == ["two"]


def test_wrong_arguments_are_refused_by_name(provider: Provider) -> None:
    with pytest.raises(Refused) as refused:
        provider.invoke("docker:index/getNetwork:getNetwork", {"id": "x"})
    assert {failure.property for failure in refused.value.failures} == {"id", "name"}


def test_unsupported_function_is_named(provider: Provider) -> None:
    with pytest.raises(CallFailed, match="docker:index/getPlugin:getPlugin is not supported by the bundled docker"):
        provider.invoke("docker:index/getPlugin:getPlugin", {})
