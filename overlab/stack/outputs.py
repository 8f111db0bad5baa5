"""The stack's outputs, as the last ``up`` left them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from overlab.core.errors import OverlabError
from overlab.core.tools import output

if TYPE_CHECKING:
    from overlab.stack.stack import Stack

_LIMIT_S = 120


@dataclass(frozen=True)
class Outputs:
    """Plain data; every part is empty until an ``up`` has ended."""

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Node -> ``address``, ``docker_host``, ``engine``."""
    store: dict[str, Any] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Overlay -> ``id``, ``subnet``, ``scope``, ``created_on``."""
    workloads: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Workload -> ``node``, ``addresses``."""
    ports: dict[str, dict[str, int]] = field(default_factory=dict)
    """Workload -> ``80/tcp`` -> port of its node."""
    checks: list[dict[str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.nodes)

    def updated(
        self,
        addresses: Mapping[str, Mapping[str, str]],
        ports: Mapping[str, Mapping[str, int]],
        networks: Mapping[str, Mapping[str, str]],
    ) -> Outputs:
        """With what was observed since, or never recorded because the ``up`` failed."""
        workloads = {name: self.workloads.get(name, {}) | {"addresses": dict(one)} for name, one in addresses.items()}
        known = {name: self.networks.get(name, {}) | dict(one) for name, one in networks.items()}
        seen = {name: dict(one) for name, one in ports.items()}
        return replace(
            self,
            workloads=self.workloads | workloads,
            ports=self.ports | seen,
            networks=self.networks | known,
        )

    def addresses(self) -> dict[str, dict[str, str]]:
        """Workload -> overlay -> address."""
        return {name: dict(known.get("addresses") or {}) for name, known in self.workloads.items()}


def read(stack: Stack) -> Outputs:
    """The outputs of a stack that exists. Raises :class:`OverlabError` where the CLI fails."""
    command = [str(stack.paths.bin / "pulumi"), "stack", "output", "--json", "--stack", stack.name]
    return parse(output(command, cwd=stack.file.parent, env=stack.environment(), limit_s=_LIMIT_S))


def parse(text: str) -> Outputs:
    """Outputs from what ``pulumi stack output --json`` printed; unknown ones are ignored."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise OverlabError(f"`pulumi stack output --json` printed no JSON: {text[:200]!r}") from error
    known = Outputs.__dataclass_fields__
    return Outputs(**{key: value for key, value in found.items() if key in known and value})
