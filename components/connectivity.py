"""The check matrix as resources: one command a node and one from outside, whose failure fails the ``up``."""

from __future__ import annotations

from functools import partial
from typing import Any

import pulumi
import pulumi_command as command

from components import checks
from components._base import Args, Component
from components.barrier import Barrier, BarrierArgs
from components.checks import EXTERNAL, Check
from components.checks.kinds import KINDS
from components.config import roles
from components.docker_engine import DockerEngine
from components.network import Networks
from components.node import scripts
from components.workload import Workload

PORTS_LIMIT_S = 120
MISSING_LIMIT = 10
"""Checks without a result that are named."""


class ConnectivityArgs(Args):
    """Checks of running workloads."""

    matrix: tuple[Check, ...]
    lab: checks.CheckedLab
    engines: tuple[DockerEngine, ...]
    networks: Networks
    workloads: dict[str, Workload]
    command_provider: command.Provider

    def inputs(self) -> dict[str, Any]:
        """The ids of the checks."""
        return {"checks": [check.id for check in self.matrix]}


class Connectivity(Component[ConnectivityArgs]):
    """Runs every check when the workloads are up, and again whenever one of them, or an expectation, changed."""

    TOKEN = "overlab:index:Connectivity"
    report: pulumi.Output[list[dict[str, Any]]]
    ports: pulumi.Output[dict[str, dict[str, int]]]

    def __init__(self, name: str, args: ConnectivityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self._engines = {engine.node: engine for engine in args.engines}
        self._up = self._declare_up()
        published = self._declare_ports()
        self.ports = published.facts
        known = pulumi.Output.all(addresses=self._up.facts, ports=published.facts, networks=args.networks.created.facts)
        facts = known.apply(lambda values: checks.Facts(**values))
        # Of all: a check may need that another node, with its listener, takes part.
        self._everything = facts.apply(lambda known: scripts.digest(repr((args.matrix, known))))
        outputs = {
            node: self._declare_external(found, facts) if node == EXTERNAL else self._declare_node(node, found, facts)
            for node, found in self._by_node().items()
        }
        self.report = pulumi.Output.all(**outputs).apply(partial(_report, args.matrix))
        self.register_outputs({"report": self.report})

    def _declare_up(self) -> Barrier:
        workloads = self.args.workloads
        barrier = BarrierArgs(
            command_provider=self.args.command_provider,
            identities=tuple(workload.container.id for workload in workloads.values()),
            facts={name: workload.addresses for name, workload in workloads.items()},
        )
        return Barrier("workloads-up", barrier, self.child_options())

    def _declare_ports(self) -> Barrier:
        publishing: dict[str, list[str]] = {}
        for name, workload in self.args.workloads.items():
            if workload.args.ports or workload.args.publish_all:
                publishing.setdefault(workload.args.engine.node, []).append(name)
        listed = [
            self._engines[node].host.run(
                roles.resource_name(node, roles.PORTS),
                checks.facts_script(names),
                self.child_options(),
                triggers=[self._up.id],
                limit_s=PORTS_LIMIT_S,
            )
            for node, names in publishing.items()
        ]
        ports = pulumi.Output.all(*(ports.stdout for ports in listed)).apply(_ports)
        barrier = BarrierArgs(command_provider=self.args.command_provider, facts=ports)
        return Barrier("ports-known", barrier, self.child_options())

    def _declare_node(
        self, node: str, found: list[checks.Check], facts: pulumi.Output[checks.Facts]
    ) -> pulumi.Output[str]:
        ran = self._engines[node].host.run(
            roles.resource_name(node, roles.CHECKS),
            facts.apply(partial(checks.node_script, node, found, self.args.lab)),
            self.child_options(),
            triggers=[self._up.id, self._everything],
            limit_s=checks.limit_s([check for check in found if check.node == node]),
        )
        return ran.stdout

    def _declare_external(self, found: list[checks.Check], facts: pulumi.Output[checks.Facts]) -> pulumi.Output[str]:
        ran = command.local.Command(
            f"{EXTERNAL}-checks",
            # Short, since errors show all of it.
            create=f"exec sh -s # {EXTERNAL}-checks",
            stdin=facts.apply(partial(checks.node_script, EXTERNAL, found, self.args.lab)),
            triggers=[self._up.id],
            logging=command.local.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=self.child_options(provider=self.args.command_provider),
        )
        return ran.stdout

    def _by_node(self) -> dict[str, list[checks.Check]]:
        """The checks that run on each node, and beside them those for which it has to listen."""
        found: dict[str, list[checks.Check]] = {}
        for check in self.args.matrix:
            found.setdefault(check.node, []).append(check)
        for check in self.args.matrix:
            listening = self.args.lab.workloads[check.target].node if KINDS[check.kind].needs_listener else check.node
            if listening != check.node and listening in found:
                found[listening].append(check)
        return found


def _ports(outputs: list[str]) -> dict[str, dict[str, int]]:
    """Workload -> container port -> node port."""
    found = checks.parse_facts("\n".join(outputs).split("\n"))
    return {workload: dict(ports) for workload, ports in found.ports.items()}


def _report(matrix: tuple[checks.Check, ...], outputs: dict[str, str]) -> list[dict[str, Any]]:
    """In the order of the matrix, which is not that in which checks ended. Raises RunError where one has no result."""
    found = checks.parse(matrix, "\n".join(outputs.values()))
    if missing := [f"{check.id} ({check.where})" for check in matrix if check.id not in found]:
        raise pulumi.RunError(
            f"{len(missing)} of {len(matrix)} checks reported no result: {', '.join(missing[:MISSING_LIMIT])}\n"
            "  remedy: overlab test, which says why; the next overlab up runs all checks again"
        )
    return [found[check.id].model_dump(mode="json") for check in matrix]
