"""The bundled hypervisor: a private libvirtd in the lab's own network and mount namespace.

Nothing of the machine's own libvirt, firewall, routes or D-Bus is touched or reached. libvirtd, its dnsmasq and its
qemu processes run as root and write only below the lab's state and run directories.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from overlab.core.errors import OverlabError
from overlab.core.process import ProcessRecord, end, spawn, write_private
from overlab.core.progress import Progress
from overlab.core.tools import tail
from overlab.core.wait import NotYet, until
from overlab.platform.namespace import Namespace

if TYPE_CHECKING:
    from overlab.core.paths import LabPaths

_START_LIMIT_S = 60.0

_LIBVIRTD_CONF = """\
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
unix_sock_admin_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
max_clients = 100
max_workers = 20
max_client_requests = 20
"""

# remember_owner and namespaces need extended attributes and device cgroups that many machines do not have;
# stdio_handler "file" makes virtlogd unnecessary.
_QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
"""


@dataclass(frozen=True)
class PrivateLibvirtd:
    """libvirtd of one lab. All methods may be repeated after a crash at any point."""

    paths: LabPaths

    @property
    def namespace(self) -> Namespace:
        return Namespace.of(self.paths)

    @property
    def uri(self) -> str:
        return f"qemu:///system?socket={self.paths.libvirt_socket}"

    @property
    def log(self) -> Path:
        return self.paths.logs / "libvirtd.log"

    def ensure(self, progress: Progress) -> None:
        """Adopt the running libvirtd or start one; returns when it answers.

        Raises :class:`OverlabError` when the namespace's name is in use or libvirtd does not start.
        """
        if self.alive():
            return
        _require_root()
        self._make_directories()
        self.namespace.ensure()
        end(self._daemons())
        process = self._start()
        until("libvirtd to answer", lambda: self._answered(process), _START_LIMIT_S, progress)

    def alive(self) -> bool:
        """Whether our libvirtd runs in our namespace and its socket answers."""
        if not self.namespace.ours() or self._process() is None:
            return False
        try:
            _probe(self.uri)
        except NotYet:
            return False
        return True

    def stop(self) -> None:
        """End libvirtd and everything else in the namespace, and remove namespace, sockets and libvirt's state.

        A libvirtd of the same name that belongs to another state directory is left alone.
        """
        if self.namespace.other_owner() is not None:
            return
        end(self._daemons())
        self.namespace.remove()
        self._pid_file.unlink(missing_ok=True)
        shutil.rmtree(self.paths.run / "libvirt", ignore_errors=True)
        shutil.rmtree(self.paths.libvirt, ignore_errors=True)

    # -- steps ---------------------------------------------------------------------------------

    @property
    def _pid_file(self) -> Path:
        return self.paths.run / "libvirtd.json"

    def _process(self) -> ProcessRecord | None:
        record = ProcessRecord.load(self._pid_file)
        return record if record is not None and record.alive() else None

    def _daemons(self) -> list[ProcessRecord]:
        """Every libvirtd of ours, also one whose start was interrupted before its pid was recorded."""
        recorded = self._process()
        inside = self.namespace.processes() if self.namespace.ours() else []
        strays = [process for process in inside if process != recorded and process.name() == "libvirtd"]
        return strays if recorded is None else [recorded, *strays]

    def _make_directories(self) -> None:
        private = (self.paths.state, self.paths.libvirt, self.paths.run, self.paths.run / "libvirt", self.paths.logs)
        for directory in private:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
        for name in ("etc", "lib", "log", "cache"):
            (self.paths.libvirt / name).mkdir(exist_ok=True)
        write_private(self.paths.libvirt / "etc" / "libvirtd.conf", _LIBVIRTD_CONF.encode())
        write_private(self.paths.libvirt / "etc" / "qemu.conf", _QEMU_CONF.encode())

    def _start(self) -> ProcessRecord:
        with as_file(files("overlab.platform") / "scripts" / "private-libvirtd.sh") as script:
            # `ip netns exec`, not nsenter: it also shows the namespace's own /sys, which libvirt writes bridges through
            enter = f"ip netns exec {self.namespace.name} unshare --mount --propagation private -- sh".split()
            process = spawn([*enter, script, self.paths.libvirt, self.paths.run], self.log, env=_environment())
        process.save(self._pid_file)
        return process

    def _answered(self, process: ProcessRecord) -> None:
        if not process.alive():
            raise OverlabError(
                f"libvirtd exited at start; its last lines:\n{tail(self.log)}",
                f"read {self.log}; `overlab doctor` lists what is missing",
            )
        _probe(self.uri)


def _probe(uri: str) -> None:
    """One real call over the socket. Raises :class:`NotYet` with libvirt's message."""
    import libvirt

    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        connection = libvirt.open(uri)
        try:
            connection.getLibVersion()
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        raise NotYet(str(error)) from error


def _require_root() -> None:
    if os.geteuid() != 0:
        raise OverlabError(
            "the bundled hypervisor needs root (network and mount namespaces)",
            "run the command with sudo, or use a system platform (overlab:lab platform.kind system)",
        )


def _environment() -> dict[str, str]:
    """A daemon's environment: nothing of the caller's session leaks into libvirtd and the machines."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
