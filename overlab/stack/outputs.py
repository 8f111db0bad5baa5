"""The stack's outputs, as the last ``up`` left them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from overlab.core.errors import OverlabError

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


def read(opened: Stack) -> Outputs:
    """The outputs of a stack that exists. Raises :class:`OverlabError` where the CLI fails."""
    command = [str(opened.paths.bin / "pulumi"), "stack", "output", "--json", "--stack", opened.name]
    try:
        done = subprocess.run(
            command,
            cwd=opened.file.parent,
            env=opened.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OverlabError(f"`pulumi stack output` did not end within {_LIMIT_S} s", "try again") from error
    except OSError as error:
        raise OverlabError(f"`{command[0]}` cannot be run: {error}", "overlab up") from error
    if done.returncode != 0:
        raise OverlabError(f"`pulumi stack output` ended with exit code {done.returncode}: {done.stderr.strip()}")
    return parse(done.stdout)


def parse(text: str) -> Outputs:
    """Outputs from what ``pulumi stack output --json`` printed; unknown ones are ignored."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise OverlabError(f"`pulumi stack output --json` printed no JSON: {text[:200]!r}") from error
    known = Outputs.__dataclass_fields__
    return Outputs(**{key: value for key, value in found.items() if key in known and value})
