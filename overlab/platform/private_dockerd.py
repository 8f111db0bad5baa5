"""The engine that runs nodes as containers on the bundled platform: a private dockerd in the lab's network namespace.

It also has private PID and mount namespaces: when its first process is killed, the kernel ends the engine, its
containerd and every process of every node, and nothing of it stays mounted.
"""

from __future__ import annotations

import contextlib
import json
import signal
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from components.config.conventions import CONTAINER_LOG
from overlab.core.files import write_private
from overlab.core.process import end
from overlab.core.progress import Progress
from overlab.core.tools import output
from overlab.core.wait import NotYet, until
from overlab.platform.daemon import Daemon

if TYPE_CHECKING:
    from docker import DockerClient

_STOP_LIMIT_S = 60.0
_CGROUPS = Path("/sys/fs/cgroup")
_DEFAULT_BRIDGE = "169.254.254.1/30"
"""dockerd insists on a range for its default bridge, on which no node is: link-local, outside any lab."""


@dataclass(frozen=True)
class PrivateDockerd(Daemon):
    """dockerd of one lab."""

    NAME = "dockerd"
    PROGRAMS = ("dockerd", "unshare")
    OWN_PID_NAMESPACE = True

    @property
    def host(self) -> str:
        """As ``DOCKER_HOST`` states it."""
        return f"unix://{self.paths.docker_socket}"

    def ensure(self, progress: Progress) -> None:
        """Adopt the running dockerd or start one; returns when it answers.

        Raises :class:`OverlabError` when it does not start.
        """
        if self.alive():
            return
        self.stop()
        self.namespace.ensure()
        for directory in (self.paths.docker, self._run, self.paths.logs):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
        write_private(self._config, json.dumps(self._configuration(), indent=1, sort_keys=True).encode())
        with as_file(files("overlab.platform") / "scripts" / "private-dockerd.sh") as script:
            # nsenter, not `ip netns exec`: that mounts another /sys, in which systemd finds no cgroups
            own = "unshare --mount --propagation private --pid --fork --kill-child --mount-proc -- sh".split()
            command = self.namespace.command([*own, script, self.paths.docker, self._config])
            self.start(command, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}, progress)
        self._pass_bridged_frames()

    def probe(self) -> None:
        try:
            with self.client() as client:
                client.ping()
        except Exception as error:  # docker-py passes on whatever its transport raises
            raise NotYet(str(error)) from error

    def stop(self) -> None:
        """End it, if it is provably ours, with every node container, and remove its sockets and cgroups.

        What it stored stays; see :meth:`remove`.
        """
        if self.namespace.other_owner() is not None:
            return
        processes = self.processes()
        for process in processes:
            # unshare passes no TERM on; when it is killed, so are all processes of the PID namespace.
            process.signal(signal.SIGKILL)
        self.thaw()
        end(processes)
        until("the nodes' processes to end", self.remove_cgroups, _STOP_LIMIT_S)
        self.pid_file.unlink(missing_ok=True)
        self.paths.remove(self._run)

    def remove(self) -> None:
        """Stop it and remove all that it stored."""
        self.stop()
        if self.namespace.other_owner() is None:
            self.paths.remove(self.paths.docker)

    def thaw(self, node: str = "") -> bool:
        """Thaw the containers of one node or of all, for their removal; whether there was a frozen one.

        With cgroup v1 a frozen process does not end before that. A node's engine still has its container as paused.
        """
        frozen = False
        for state in [file for tree in self.cgroups() for file in (tree / node).rglob("freezer.state")]:
            with contextlib.suppress(OSError):
                frozen |= state.read_text() != "THAWED\n"
                state.write_text("THAWED")
        return frozen

    def client(self) -> contextlib.closing[DockerClient]:
        """Docker's own client of it, for a ``with`` block."""
        import docker

        return contextlib.closing(docker.DockerClient(base_url=self.host, timeout=60))

    # -- steps ---------------------------------------------------------------------------------

    @property
    def _run(self) -> Path:
        return self.paths.docker_socket.parent

    @property
    def _config(self) -> Path:
        return self.paths.docker / "daemon.json"

    @property
    def _cgroup(self) -> str:
        return self.paths.namespace

    def _pass_bridged_frames(self) -> None:
        """Between nodes every frame passes, whatever addresses it has: a segment does not look at them.

        The rules of an internal network let only its own subnet through, also where the kernel shows them what a bridge
        forwards between two of its ports.
        """
        rule = "DOCKER-USER -i br-+ -o br-+ -j ACCEPT"
        output(self.namespace.command(["sh", "-c", f"iptables -w -C {rule} 2>/dev/null || iptables -w -I {rule}"]))

    def _configuration(self) -> dict[str, object]:
        return {
            "bip": _DEFAULT_BRIDGE,
            "cgroup-parent": f"/{self._cgroup}",
            "data-root": str(self.paths.docker / "data"),
            "exec-root": str(self._run / "exec"),
            "hosts": [self.host],
            "icc": False,
            "log-level": "warn",
            "log-opts": CONTAINER_LOG,
            "pidfile": str(self._run / "dockerd.pid"),
            "userland-proxy": False,
        }

    def cgroups(self) -> list[Path]:
        return [*_CGROUPS.glob(f"*/{self._cgroup}"), *_CGROUPS.glob(self._cgroup)]

    def remove_cgroups(self) -> None:
        """Remove the nodes' cgroups, deepest first.

        Raises :class:`NotYet` for one in which a process still ends, or that this user may not remove.
        """
        for tree in self.cgroups():
            for directory in sorted((path for path in tree.rglob("*") if path.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    directory.rmdir()
            try:
                tree.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise NotYet(f"{tree}: {error.strerror}") from error
