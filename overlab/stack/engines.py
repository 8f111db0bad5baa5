"""The engines of nodes: which answer, and what an update that was killed left on them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from components.config.platform import Platform
from components.node import watchdog
from overlab import openssh
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
_REMOVAL_LIMIT_S = 120.0
# not `docker info`, which succeeds without a daemon when it is given a format
_PROBE = "docker network ls --quiet --no-trunc >/dev/null"
REPAIR = f"[ ! -x {watchdog.SCRIPT} ] || {watchdog.SCRIPT} repair >&2; {_PROBE}"
"""After a removal: an engine that removed the last endpoint of an overlay may need a restart."""
_REMOVE_CONTAINERS = """\
for id in $(docker ps --all --quiet --no-trunc --filter label={label}); do
    case " {known} " in *" $id "*) continue ;; esac
    docker container inspect -f '{{{{.Name}}}}' "$id" && docker rm --force --volumes "$id" >/dev/null || exit 1
done
"""
_REMOVE_NETWORKS = """\
for id in $(docker network ls --quiet --no-trunc); do
    name=$(docker network inspect -f '{{{{.Name}}}}' "$id" 2>/dev/null) || continue
    case " {known} " in *" $id "*) continue ;; esac
    case " {names} " in *" $name "*) ;; *) continue ;; esac
    for endpoint in $(docker network inspect -f '{{{{range .Containers}}}}{{{{.Name}}}} {{{{end}}}}' "$id"); do
        docker network disconnect --force "$id" "$endpoint" >&2
    done
    docker network rm "$name" || exit 1
done
"""
"""The store still has the endpoints of a node that is gone."""


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

    def remove_leftovers(
        self, state: State, addresses: Collection[str], networks: Collection[str], progress: Progress
    ) -> bool:
        """Remove the lab's containers that the state does not have, by their label, then networks of these names.

        Each is said in a line; whether there was any. Raises :class:`OverlabError` where a node does not do it.
        """
        containers = state.keys_of(CONTAINER)
        known = " ".join(sorted(containers | state.keys_of(DOCKER_NETWORK)))
        steps = {"container": _REMOVE_CONTAINERS.format(label=INSTANCE_LABEL, known=known)}
        if networks:
            steps["network"] = _REMOVE_NETWORKS.format(names=" ".join(sorted(networks)), known=known)
        found = False
        for kind, script in steps.items():
            for address in addresses:
                removed = self.call(address, script, _REMOVAL_LIMIT_S).split()
                for name in removed:
                    progress.note(f"removed {kind} {name.lstrip('/')} on {address}: the state does not have it")
                if removed:
                    found = True
                    self.call(address, REPAIR, _REMOVAL_LIMIT_S)
        return found

    def _probe(self, address: str) -> None:
        try:
            self.call(address, _PROBE)
        except OverlabError as error:
            raise NotYet(error.what) from error

    def call(self, address: str, script: str, limit_s: float = _CALL_LIMIT_S) -> str:
        """What a script prints on a node. Raises :class:`OverlabError` with its last line where it fails."""
        command = openssh.to_address(
            self.lab, self.platform, address, ["sh", "-c", script], connect_limit_s=_CONNECT_LIMIT_S
        )
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise OverlabError(f"no answer within {limit_s:g} s") from error
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise OverlabError(said[-1] if said else f"exit code {done.returncode}")
        return done.stdout


def node_of(resource: Resource) -> str | None:
    """Address of the node whose engine has the resource; None for a resource elsewhere."""
    return address_of(resource.host)


def address_of(docker_host: str) -> str | None:
    """Address of a node, from its engine's ``DOCKER_HOST``; None for an engine that is not a node's."""
    return urlsplit(docker_host).hostname if docker_host.startswith("ssh://") else None
