"""Clusters that overlab did not create: reached by the user's own ssh, and nothing is installed on their nodes."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from overlab.core import removal
from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.paths import state_root
from overlab.inspect import lab_collector
from overlab.inspect.node_report import Engine, Fact, NodeReport
from overlab.inspect.snapshot import ExpectedState, NodeAnswer, Snapshot
from overlab.openssh import flags

NAME = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.:_-]*[A-Za-z0-9])?"
_USER = r"[A-Za-z_][A-Za-z0-9_.-]*"
_AS_ROOT = """\
[ "$(id -u)" = 0 ] || ! sudo -n true 2>/dev/null && exec "$@"
exec sudo -n "$@"
"""
"""Where the user is not root and may not become it without a password, what root alone can read is not collected."""


class AttachedNode(Fact):
    """How ssh reaches a node; what is empty or 0 is as the user's own configuration has it."""

    host: str
    user: str = ""
    port: int = 0


class AttachedCluster(Fact):
    """A name, and how each node is reached."""

    name: str
    nodes: dict[str, AttachedNode]
    known_hosts: str = ""
    """File with the host keys; empty: the user's own."""
    identity: str = ""
    """File with the private key; empty: the user's own."""

    def command(self, node: str, cmd: Sequence[str], *, terminal: bool = False, connect_limit_s: int = 30) -> list[str]:
        """The command that runs ``cmd`` on a node, or a login shell where ``cmd`` is empty.

        Its arguments arrive exactly as given. Raises :class:`OverlabError` for an unknown node.
        """
        known = self.nodes.get(node)
        if known is None:
            raise OverlabError(f"the cluster {self.name} has no node {node}", f"its nodes: {', '.join(self.nodes)}")
        options = {
            # On the command line, so that no configuration of the user can switch it off.
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "BatchMode": "no" if terminal else "yes",
            "ConnectTimeout": str(connect_limit_s),
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "8",
            "LogLevel": "ERROR",
        }
        if self.known_hosts:
            options |= {"UserKnownHostsFile": self.known_hosts, "GlobalKnownHostsFile": "/dev/null"}
        if self.identity:
            options |= {"IdentityFile": self.identity, "IdentitiesOnly": "yes"}
        ssh = ["ssh", "-e", "none" if cmd else "~", "-t" if terminal else "-T", *flags(options)]
        ssh += ["-p", str(known.port)] if known.port else []
        ssh += ["-l", known.user] if known.user else []
        ssh += ["--", known.host]
        return ssh + ([shlex.join(cmd)] if cmd else [])

    def as_root(self, node: str, cmd: Sequence[str], *, connect_limit_s: int = 30) -> list[str]:
        """:meth:`command`, as root where sudo allows it without a password."""
        return self.command(node, ["sh", "-c", _AS_ROOT, "sh", *cmd], connect_limit_s=connect_limit_s)

    def take_snapshot(self) -> Snapshot:
        """The present state, as :func:`lab_collector.take_snapshot` takes a lab's. Raises nothing."""
        sessions: lab_collector.Sessions = []
        cmd = lab_collector.collector_command("", "")
        limit = lab_collector.CONNECT_LIMIT_S
        with ThreadPoolExecutor(len(self.nodes)) as pool, lab_collector.terminated_at_the_end(sessions):
            commands = {key: self.as_root(key, cmd, connect_limit_s=limit) for key in self.nodes}
            asked = {key: pool.submit(lab_collector.answer, ssh, sessions) for key, ssh in commands.items()}
            answers = {key: answer.result() for key, answer in asked.items()}
        return Snapshot(lab=self.name, expected=self._declared(answers), machines={}, nodes=answers)

    def _declared(self, answers: Mapping[str, NodeAnswer]) -> ExpectedState:
        """What the engines themselves say of their cluster."""
        reports = {key: answer.report for key, answer in answers.items() if answer.report is not None}
        engines = {key: report.engine for key, report in reports.items() if report.engine is not None}
        stores = Counter(engine.store for engine in engines.values() if engine.store)
        nodes = {key: _address(node, engines.get(key)) for key, node in self.nodes.items()}
        return ExpectedState(
            stack=self.name,
            attached=True,
            store=stores.most_common(1)[0][0] if stores else "",
            servers=_servers(reports),
            store_nodes=(next(iter(self.nodes)),),
            nodes=nodes,
            advertise={key: engine.advertise for key, engine in engines.items() if engine.advertise},
            networks={},
            workloads={},
        )

    # -- the record --------------------------------------------------------------------------------

    def save(self) -> None:
        """Raises :class:`OverlabError` where another cluster has the name."""
        if _file(self.name).exists():
            raise OverlabError(f"there is a cluster {self.name} already", f"overlab detach {self.name}")
        write_private(_file(self.name), self.model_dump_json(indent=1).encode())


def parse(name: str, urls: Sequence[str], known_hosts: Path | None, identity: Path | None) -> AttachedCluster:
    """A cluster of nodes that are named by their hosts. Raises :class:`OverlabError` for what cannot be one."""
    if not re.fullmatch(NAME, name):
        raise OverlabError(f"{name!r} is not a cluster's name", "letters a to z, digits and hyphens, at most 40")
    nodes: dict[str, AttachedNode] = {}
    for url in urls:
        node = _node(url)
        key = f"{node.host}:{node.port}" if node.port else node.host
        if key in nodes:
            raise OverlabError(f"{key} is named twice", "name each node once")
        nodes[key] = node
    files = {}
    for option, file in {"known_hosts": known_hosts, "identity": identity}.items():
        if file is not None and not file.is_file():
            raise OverlabError(f"there is no file {file}", f"correct --{option.replace('_', '-')}")
        files[option] = str(file.absolute()) if file else ""
    return AttachedCluster(name=name, nodes=nodes, **files)


def _node(url: str) -> AttachedNode:
    """ssh takes hosts and users that begin with a hyphen for options, and has tokens of its own in them."""
    try:
        parts = urlsplit(url)
        host, user, port = parts.hostname or "", parts.username or "", parts.port or 0
    except ValueError:
        parts, host, user, port = urlsplit(""), "", "", 0
    extra = parts.password or parts.path.strip("/") or parts.query or parts.fragment
    valid = parts.scheme == "ssh" and re.fullmatch(_HOST, host) and (not user or re.fullmatch(_USER, user))
    if extra or not valid:
        raise OverlabError(f"{url!r} is not the address of a node", "ssh://[USER@]HOST[:PORT]")
    return AttachedNode(host=host, user=user, port=port)


def find(name: str) -> AttachedCluster | None:
    """The attached cluster of this name; None where there is none."""
    if not re.fullmatch(NAME, name) or not _file(name).exists():
        return None
    try:
        return AttachedCluster.model_validate_json(_file(name).read_bytes())
    except (OSError, ValidationError) as error:
        raise OverlabError(f"{_file(name)} is not readable as a cluster: {error}", f"overlab detach {name}") from error


def names() -> list[str]:
    return sorted(file.stem for file in _directory().glob("*.json"))


def forget(name: str) -> None:
    """Remove the record. Raises :class:`OverlabError` where there is none."""
    if not re.fullmatch(NAME, name) or not _file(name).exists():
        known = ", ".join(names()) or "none"
        raise OverlabError(f"no cluster {name} is attached", f"attached clusters: {known}")
    removal.remove(_file(name), _directory())


def _directory() -> Path:
    return state_root() / "clusters"


def _file(name: str) -> Path:
    return _directory() / f"{name}.json"


def _address(node: AttachedNode, engine: Engine | None) -> str:
    """By which the other nodes know it; of an engine that does not answer the host stands for it."""
    if engine is None:
        return node.host
    return engine.swarm_address or engine.advertise.rpartition(":")[0] or node.host


def _servers(reports: Mapping[str, NodeReport]) -> int:
    answers = [report.store for report in reports.values() if report.store is not None]
    return len(answers[0].peers) if answers else 0
