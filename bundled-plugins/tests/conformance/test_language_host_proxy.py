"""The proxy between the engine and a policy pack."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from bundled_plugins.language_host.policy_proxy import PackError, PolicyProxy
from bundled_plugins.runtime.serving import MESSAGE_OPTIONS, new_server
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

pytestmark = pytest.mark.bundled_only("language host")


class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    """A policy pack's server; what it does not implement here it does not implement."""

    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.name == "broken":
            context.abort(grpc.StatusCode.DATA_LOSS, "policy is broken")
        diagnostic = analyzer_pb2.AnalyzeDiagnostic(policyName="p", message=request.urn)
        return analyzer_pb2.AnalyzeResponse(diagnostics=[diagnostic])

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return plugin_pb2.PluginInfo(version="7.7.7")


class Packs:
    """Starts the pack's server for a proxy and notes with what."""

    def __init__(self) -> None:
        self.environments: list[dict[str, str]] = []
        self.ended: str | None = None
        self.server, self.port = new_server(4)
        analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Pack(), self.server)

    def start(self, environment: dict[str, str]) -> int:
        self.environments.append(environment)
        if environment.get("PULUMI_STACK") == "unstartable":
            raise PackError("the pack ended")
        self.server.start()
        return self.port


@pytest.fixture
def packs() -> Iterator[Packs]:
    packs = Packs()
    yield packs
    packs.server.stop(0).wait(5)


@pytest.fixture
def analyzer(packs: Packs) -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    proxy = PolicyProxy(packs.start, lambda: packs.ended)
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}", options=MESSAGE_OPTIONS) as channel:
        yield analyzer_pb2_grpc.AnalyzerStub(channel)
    proxy.stop()


def test_pack_starts_with_its_stack_in_the_environment(packs: Packs, analyzer: analyzer_pb2_grpc.AnalyzerStub) -> None:
    analyzer.Handshake(analyzer_pb2.AnalyzerHandshakeRequest(engine_address="127.0.0.1:1"), timeout=5)
    assert packs.environments == []

    analyzer.ConfigureStack(
        analyzer_pb2.AnalyzerStackConfigureRequest(
            project="lab", stack="dev", organization="org", dry_run=True, config={"lab:size": "3"}
        ),
        timeout=5,
    )

    assert packs.environments == [
        {
            "PULUMI_PROJECT": "lab",
            "PULUMI_STACK": "dev",
            "PULUMI_ORGANIZATION": "org",
            "PULUMI_DRY_RUN": "true",
            "PULUMI_CONFIG": '{"lab:size": "3"}',
        }
    ]


def test_calls_and_errors_pass_through(packs: Packs, analyzer: analyzer_pb2_grpc.AnalyzerStub) -> None:
    answer = analyzer.Analyze(analyzer_pb2.AnalyzeRequest(name="big", urn="u" * 5_000_000), timeout=20)
    assert len(answer.diagnostics[0].message) == 5_000_000
    assert analyzer.GetPluginInfo(empty_pb2.Empty(), timeout=5).version == "7.7.7"
    assert packs.environments == [{}]

    with pytest.raises(grpc.RpcError) as failed:
        analyzer.Analyze(analyzer_pb2.AnalyzeRequest(name="broken"), timeout=5)
    assert failed.value.code() is grpc.StatusCode.DATA_LOSS
    assert failed.value.details() == "policy is broken"

    with pytest.raises(grpc.RpcError) as failed:
        analyzer.Remediate(analyzer_pb2.AnalyzeRequest(), timeout=5)
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_end_of_a_pack_is_reported(packs: Packs, analyzer: analyzer_pb2_grpc.AnalyzerStub) -> None:
    analyzer.GetPluginInfo(empty_pb2.Empty(), timeout=5)
    packs.server.stop(0).wait(5)
    packs.ended = "the pack was ended by signal 9"

    with pytest.raises(grpc.RpcError) as failed:
        analyzer.GetPluginInfo(empty_pb2.Empty(), timeout=10)
    assert failed.value.details() == "the pack was ended by signal 9"


def test_pack_that_does_not_start_fails_the_configuration(
    packs: Packs, analyzer: analyzer_pb2_grpc.AnalyzerStub
) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        analyzer.ConfigureStack(analyzer_pb2.AnalyzerStackConfigureRequest(stack="unstartable"), timeout=5)
    assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == "the pack ended"


def test_the_reason_of_the_end_gets_out_before_the_end() -> None:
    def start(_environment: dict[str, str]) -> int:
        stopping.start()
        stopping.join(0.3)
        raise PackError("the pack ended")

    proxy = PolicyProxy(start, lambda: None)
    stopping = threading.Thread(target=proxy.stop)
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}", options=MESSAGE_OPTIONS) as channel:
        analyzer = analyzer_pb2_grpc.AnalyzerStub(channel)
        with pytest.raises(grpc.RpcError) as failed:
            analyzer.ConfigureStack(analyzer_pb2.AnalyzerStackConfigureRequest(), timeout=5)
    assert failed.value.details() == "the pack ended"
    stopping.join(5)
    assert not stopping.is_alive()


def test_cancel_starts_no_pack(packs: Packs, analyzer: analyzer_pb2_grpc.AnalyzerStub) -> None:
    analyzer.Cancel(empty_pb2.Empty(), timeout=5)
    assert packs.environments == []
