"""The language runtime that the engine calls."""
# ruff: noqa: N802 - the methods have the protocol's names

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, language_pb2, language_pb2_grpc, plugin_pb2

from bundled_plugins.language_host.interpreter import OptionError, interpreter_for
from bundled_plugins.language_host.packages import DescribeError, Environment, describe
from bundled_plugins.language_host.policy_pack import PolicyPack
from bundled_plugins.language_host.process import Child, Children
from bundled_plugins.language_host.program import outcome, start_program

#: The CLI that this host is written for and tested with.
VERSION = "3.259.0"

_REFUSED = grpc.StatusCode.FAILED_PRECONDITION


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs Python programs and policy packs. ``engine`` is the engine's address; empty until Handshake in attach mode.

    What the engine does not call for a program or a policy pack (Template, Pack, Generate*) is left unimplemented.
    """

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._programs = Children()
        self._packs = Children()

    def stop(self, grace_s: float) -> None:
        """End every child; returns when all have ended."""
        for stopping in self._programs.begin_stop(grace_s) + self._packs.begin_stop(grace_s):
            stopping.join()

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        self._engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Interrupt what runs. The engine also calls this at the end of every healthy pass, when nothing does."""
        self._programs.begin_stop()
        return empty_pb2.Empty()

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        if request.attach_debugger:
            return self._report("the bundled Python language host cannot attach a debugger; run without it")
        try:
            program = start_program(request, self._engine)
        except OptionError as error:
            return self._report(str(error))
        except OSError as error:
            return self._report(f"cannot start the program of {request.info.program_directory}: {error}")
        self._programs.add(program)
        # Also called at the call's regular end; an engine that dies gives the call up earlier.
        context.add_callback(lambda: _stop_soon(program))
        try:
            return outcome(program)
        finally:
            self._programs.discard(program)

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        if request.kind != "analyzer":
            _abort(
                context,
                f"plugins of the kind {request.kind!r} in Python are not supported by the bundled Python language host "
                f"({request.info.program_directory}): use the official language host",
            )
        try:
            yield from PolicyPack(request, self._packs).run(context)
        except (OptionError, OSError) as error:
            _abort(context, str(error))

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        _abort(
            context,
            "`pulumi install` is not supported by the bundled Python language host: install the program's packages "
            "with pip into the environment that 'virtualenv' names, or use the official language host",
        )

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        environment = self._describe(request.info, context)
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(
                    name=plugin.name, kind="resource", version=plugin.version, server=plugin.server
                )
                for plugin in environment.plugins
            ]
        )

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        environment = self._describe(request.info, context)
        return language_pb2.AboutResponse(executable=environment.executable, version=environment.version)

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        """All installed distributions, whether or not ``transitiveDependencies`` is set."""
        environment = self._describe(request.info, context)
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=name, version=version) for name, version in environment.distributions
            ]
        )

    def _describe(self, info: language_pb2.ProgramInfo, context: grpc.ServicerContext) -> Environment:
        try:
            return describe(interpreter_for(info), dict(os.environ), info.program_directory)
        except (OptionError, DescribeError) as error:
            _abort(context, str(error))

    def _report(self, text: str) -> language_pb2.RunResponse:
        """Report why nothing was run, as an error of the stack: an error in the response itself is called unhandled."""
        if not self._engine:
            return language_pb2.RunResponse(error=text)
        with grpc.insecure_channel(self._engine) as channel:
            engine = engine_pb2_grpc.EngineStub(channel)
            engine.Log(engine_pb2.LogRequest(severity=engine_pb2.ERROR, message=text), timeout=10)
        return language_pb2.RunResponse(bail=True)


def _stop_soon(program: Child) -> None:
    if program.running:
        program.begin_stop()


def _abort(context: grpc.ServicerContext, text: str) -> NoReturn:
    context.abort(_REFUSED, text)
    raise AssertionError("abort always raises")
