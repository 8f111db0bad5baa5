"""The engines of nodes: which answer, and what an update that was killed left on them."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from components.config.platform import Platform
from overlab import remote
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.core.wait import NotYet, until
from overlab.stack.state import CONTAINER, DOCKER_NETWORK, Resource, State

ANSWER_LIMIT_S = 90.0
"""A restarted engine answers by then."""
INSTANCE_LABEL = "overlab.machine"
"""Of every container that the lab has on a node; see ``components/node_host.py``."""

_CONNECT_LIMIT_S = 20
_CALL_LIMIT_S = 45.0
# not `docker info`, which succeeds without a daemon when it is given a format
_PROBE = "docker network ls --quiet --no-trunc >/dev/null"
_REMOVE_CONTAINER = """\
found=$(docker container inspect -f '{{{{.Id}}}} {{{{index .Config.Labels "{label}"}}}}' {name} 2>/dev/null) || exit 0
set -- $found
case " {known} " in *" $1 "*) exit 0 ;; esac
[ -n "$2" ] || {{ echo "container {name} has no label {label}" >&2; exit 1; }}
docker rm -f -v "$1" >/dev/null && echo removed
"""
_REMOVE_NETWORK = """\
for id in $(docker network ls --quiet --no-trunc --filter name={name}); do
    [ "$(docker network inspect -f '{{{{.Name}}}}' "$id")" = {name} ] || continue
    case " {known} " in *" $id "*) continue ;; esac
    docker network rm "$id" >/dev/null && echo removed
done
"""


@dataclass(frozen=True)
class Engines:
    """The engines of a lab's nodes, reached as the nodes are: over SSH."""

    lab: str
    platform: Platform

    def require(self, resources: Iterable[Resource], progress: Progress, limit_s: float = ANSWER_LIMIT_S) -> None:
        """Wait until every engine that has one of the resources answers.

        Raises :class:`OverlabError` that names those that do not: Docker's provider takes a network that it cannot
        inspect for a removed one.
        """
        silent = self.silent(resources, progress, limit_s)
        if silent:
            seen = "; ".join(f"{address}: {why}" for address, why in silent.items())
            raise OverlabError(
                f"not refreshed, since not every engine answered within {limit_s:g} s: {seen}",
                "overlab status shows the nodes; overlab up starts a machine that is off; on a node:"
                " systemctl restart docker",
            )

    def silent(self, resources: Iterable[Resource], progress: Progress, limit_s: float) -> dict[str, str]:
        """Address of each engine that has one of the resources and does not answer in time, and what was seen."""
        addresses = sorted({address for one in resources if (address := node_of(one))})
        deadline = time.monotonic() + limit_s

        def wait(address: str) -> str:
            left = max(1.0, deadline - time.monotonic())
            try:
                until(f"the engine of {address}", lambda: self._probe(address), left, progress, interval_s=1)
            except OverlabError as error:
                return str(error.__cause__ or error)
            return ""

        with ThreadPoolExecutor(max_workers=16) as pool:
            seen = list(pool.map(wait, addresses))
        return {address: why for address, why in zip(addresses, seen, strict=True) if why}

    def remove_leftovers(self, state: State) -> list[str]:
        """Remove the containers and networks that a killed update may have created; a line for each that was there.

        Only what the state says to be in creation is looked at; a container must have the lab's label, too. Raises
        :class:`OverlabError` where a node does not do it.
        """
        lines = []
        for one in state.creating:
            address = node_of(one)
            script = {CONTAINER: _REMOVE_CONTAINER, DOCKER_NETWORK: _REMOVE_NETWORK}.get(one.type)
            if address is None or script is None or not one.name:
                continue
            known = " ".join(sorted(state.keys(one.host, one.type)))
            code = script.format(name=shlex.quote(one.name), known=known, label=INSTANCE_LABEL)
            if "removed" in self._call(address, code):
                kind = "container" if one.type == CONTAINER else "network"
                lines.append(f"removed {kind} {one.name} on {address}: an interrupted update had created it")
        return lines

    def _probe(self, address: str) -> None:
        try:
            self._call(address, _PROBE)
        except OverlabError as error:
            raise NotYet(error.what) from error

    def _call(self, address: str, script: str) -> str:
        command = remote.to_address(
            self.lab, self.platform, address, ["sh", "-c", script], connect_limit_s=_CONNECT_LIMIT_S
        )
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_CALL_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise OverlabError(f"no answer within {_CALL_LIMIT_S:g} s") from error
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise OverlabError(said[-1] if said else f"exit code {done.returncode}")
        return done.stdout


def node_of(resource: Resource) -> str | None:
    """Address of the node whose engine has the resource; None for a resource elsewhere."""
    return urlsplit(resource.host).hostname if resource.host.startswith("ssh://") else None
