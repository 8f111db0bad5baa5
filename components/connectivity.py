"""The check matrix as resources: one command a node, whose failure fails the ``up``."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import pulumi

from components import checks
from components._base import Component
from components.docker_engine import DockerEngine
from components.settings import Settings
from components.workload import Workload

MARGIN_S = 300
"""For a slow machine to run what a check's own limit does not count."""


class Connectivity(Component):
    """Runs every check when the workloads are up, and again whenever one of them, or an expectation, changed."""

    TOKEN = "overlab:index:Connectivity"
    report: pulumi.Output[list[dict[str, Any]]]

    def __init__(
        self,
        settings: Settings,
        engines: dict[str, DockerEngine],
        workloads: dict[str, Workload],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("connectivity", opts)
        matrix = checks.matrix(settings)
        addresses = pulumi.Output.all(**{name: workload.addresses for name, workload in workloads.items()})
        containers = [workload.container for workload in workloads.values()]
        outputs = {}
        for node in dict.fromkeys(check.node for check in matrix):
            own = [check for check in matrix if check.node == node]
            engine = engines[node]
            command = engine.host.run(
                f"{node}-checks",
                addresses.apply(partial(_script, node, matrix, settings)),
                self.inside(engine.machine.domain, depends_on=containers),
                triggers=[container.id for container in containers],
                limit_s=MARGIN_S + sum(check.within_s for check in own),
            )
            outputs[node] = command.stdout
        self.report = pulumi.Output.all(**outputs).apply(_report)
        self.register_outputs({"report": self.report})


def _script(node: str, matrix: tuple[checks.Check, ...], settings: Settings, addresses: dict[str, Any]) -> str:
    return checks.script(node, matrix, settings, addresses)


def _report(outputs: dict[str, str]) -> list[dict[str, Any]]:
    return [
        asdict(result) | {"passed": result.passed}
        for node, output in outputs.items()
        for result in checks.parse(node, output)
    ]
