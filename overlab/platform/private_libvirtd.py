"""The bundled hypervisor: a private libvirtd in the lab's own network and mount namespace.

Nothing of the machine's own libvirt, firewall, routes or D-Bus is touched or reached. libvirtd, its dnsmasq and its
qemu processes run as root and write only below the lab's state and run directories.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import as_file, files

from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.process import end
from overlab.core.progress import Progress
from overlab.core.wait import NotYet
from overlab.platform import libvirt_api
from overlab.platform.daemon import Daemon
from overlab.platform.libvirt_api import LibvirtError

_CALL_LIMIT_S = 30.0
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
"""Nothing of the caller's session leaks into libvirtd and the machines."""

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
class PrivateLibvirtd(Daemon):
    """libvirtd of one lab."""

    NAME = "libvirtd"
    PROGRAMS = ("libvirtd",)

    @property
    def uri(self) -> str:
        return f"qemu:///system?socket={self.paths.libvirt_socket}"

    def ensure(self, progress: Progress) -> None:
        """Adopt the running libvirtd or start one; returns when it answers.

        Raises :class:`OverlabError` when the namespace's name is in use or libvirtd does not start.
        """
        if self.alive():
            return
        _require_root()
        self._make_directories()
        self.namespace.ensure()
        end(self.processes())
        with as_file(files("overlab.platform") / "scripts" / "private-libvirtd.sh") as script:
            # `ip netns exec`, not nsenter: it also shows the namespace's own /sys, which libvirt writes bridges through
            enter = f"ip netns exec {self.namespace.name} unshare --mount --propagation private -- sh".split()
            self.start([*enter, script, self.paths.libvirt, self.paths.run], _ENVIRONMENT, progress)

    def probe(self) -> None:
        try:
            libvirt_api.ask(self.uri, lambda connection: connection.getLibVersion(), _CALL_LIMIT_S)
        except LibvirtError as error:
            raise NotYet(str(error)) from error

    def stop(self) -> None:
        """End libvirtd and everything else in the namespace, and remove namespace, sockets and libvirt's state.

        A libvirtd of the same name that belongs to another state directory is left alone.
        """
        if self.namespace.other_owner() is not None:
            return
        end(self.processes())
        self.namespace.remove()
        self.pid_file.unlink(missing_ok=True)
        self.paths.remove(self.paths.run / "libvirt")
        self.paths.remove(self.paths.libvirt)

    # -- steps ---------------------------------------------------------------------------------

    def _make_directories(self) -> None:
        private = (self.paths.state, self.paths.libvirt, self.paths.run, self.paths.run / "libvirt", self.paths.logs)
        for directory in private:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
        for name in ("etc", "lib", "log", "cache"):
            (self.paths.libvirt / name).mkdir(exist_ok=True)
        write_private(self.paths.libvirt / "etc" / "libvirtd.conf", _LIBVIRTD_CONF.encode())
        write_private(self.paths.libvirt / "etc" / "qemu.conf", _QEMU_CONF.encode())


def _require_root() -> None:
    if os.geteuid() != 0:
        raise OverlabError(
            "the bundled hypervisor needs root (network and mount namespaces)",
            "run the command with sudo, or use a system platform (overlab:lab platform.kind system)",
        )
