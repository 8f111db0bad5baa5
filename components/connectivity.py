"""The check matrix as resources: one command a node and one on the ground, whose failure fails the ``up``."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command

from components import checks, scripts
from components._base import Component
from components.checks.model import GROUND
from components.docker_engine import DockerEngine
from components.overlay import Overlays
from components.settings import Settings
from components.workload import Workload

MARGIN_S = 300
"""For a slow machine to run what a check's own limit does not count."""
PORTS_LIMIT_S = 120
GROUND_SCRIPT = Path(__file__).parent / "templates" / "ground_checks.py"


class Connectivity(Component):
    """Runs every check when the workloads are up, and again whenever one of them, or an expectation, changed."""

    TOKEN = "overlab:index:Connectivity"
    report: pulumi.Output[list[dict[str, Any]]]
    ports: pulumi.Output[dict[str, dict[str, int]]]

    def __init__(
        self,
        settings: Settings,
        engines: dict[str, DockerEngine],
        overlays: Overlays,
        workloads: dict[str, Workload],
        ssh: command.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("connectivity", opts)
        self._settings = settings
        self._engines = engines
        self._matrix = checks.matrix(settings)
        self._containers = [workload.container for workload in workloads.values()]
        self.ports = self._declare_ports()
        facts = self._facts(overlays, workloads)
        outputs = {
            node: self._declare_node(node, facts)
            for node in dict.fromkeys(check.node for check in self._matrix)
            if node != GROUND
        }
        if any(check.node == GROUND for check in self._matrix):
            outputs[GROUND] = self._declare_ground(facts, ssh)
        self.report = pulumi.Output.all(**outputs).apply(_report)
        self.register_outputs({"report": self.report})

    def _declare_ports(self) -> pulumi.Output[dict[str, dict[str, int]]]:
        publishing = [name for name, spec in self._settings.workloads.items() if spec.ports or spec.publish_all]
        found = []
        for node in dict.fromkeys(self._settings.placement[name] for name in publishing):
            engine = self._engines[node]
            names = [name for name in publishing if self._settings.placement[name] == node]
            listed = engine.host.run(
                f"{node}-ports",
                scripts.render("ports", workloads=names),
                self.child(depends_on=self._containers),
                triggers=[container.id for container in self._containers],
                limit_s=PORTS_LIMIT_S,
            )
            found.append(listed.stdout)
        return pulumi.Output.all(*found).apply(parse_ports)

    def _facts(self, overlays: Overlays, workloads: dict[str, Workload]) -> pulumi.Output[checks.Facts]:
        known = pulumi.Output.all(
            addresses={name: workload.addresses for name, workload in workloads.items()},
            ports=self.ports,
            networks=overlays.facts,
        )
        return known.apply(lambda values: checks.Facts(**values))

    def _declare_node(self, node: str, facts: pulumi.Output[checks.Facts]) -> pulumi.Output[str]:
        engine = self._engines[node]
        own = [check for check in self._matrix if check.node == node]
        ran = engine.host.run(
            f"{node}-checks",
            facts.apply(partial(checks.node_script, node, self._matrix, self._settings)),
            self.child(depends_on=self._containers),
            triggers=[container.id for container in self._containers],
            limit_s=MARGIN_S + sum(check.within_s for check in own),
        )
        return ran.stdout

    def _declare_ground(self, facts: pulumi.Output[checks.Facts], provider: command.Provider) -> pulumi.Output[str]:
        ran = command.local.Command(
            f"{GROUND}-checks",
            interpreter=["python3", "-c"],
            create=GROUND_SCRIPT.read_text("utf-8"),
            stdin=facts.apply(partial(_ground_input, self._matrix, self._settings)),
            triggers=[container.id for container in self._containers],
            logging=command.local.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=self.child(provider=provider, depends_on=self._containers),
        )
        return ran.stdout


def parse_ports(outputs: list[str]) -> dict[str, dict[str, int]]:
    """Workload -> container port -> node port, from what ``ports.sh`` printed on each node."""
    ports: dict[str, dict[str, int]] = {}
    for line in "\n".join(outputs).splitlines():
        if len(words := line.split()) == 3:
            workload, container_port, node_port = words
            ports.setdefault(workload, {})[container_port] = int(node_port)
    return ports


def _ground_input(matrix: tuple[checks.Check, ...], settings: Settings, facts: checks.Facts) -> str:
    return json.dumps(checks.ground_checks(matrix, settings, facts), sort_keys=True)


def _report(outputs: dict[str, str]) -> list[dict[str, Any]]:
    return [
        asdict(result) | {"passed": result.passed}
        for node, output in outputs.items()
        for result in checks.parse(node, output)
    ]
