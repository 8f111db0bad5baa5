"""The bundled hypervisor: a private libvirtd in the lab's own network and mount namespace.

Nothing of the machine's own libvirt, firewall, routes or D-Bus is touched or reached. libvirtd and its dnsmasq run as
root and write only below the lab's state and run directories. qemu runs as a user of its own, which reaches nothing of
the state but what libvirtd gives it below /var/lib/libvirt: in the mount namespace that is a directory of the state.
"""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.process import end
from overlab.core.progress import Progress
from overlab.core.wait import NotYet
from overlab.platform import acceleration, libvirt_api
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
user = "{user}"
group = "{group}"
security_driver = "none"
remember_owner = 0
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
"""
_KVM = Path("/dev/kvm")
_LIBRARY = "/var/lib/libvirt"


@dataclass(frozen=True)
class PrivateLibvirtd(Daemon):
    """libvirtd of one lab."""

    NAME = "libvirtd"
    PROGRAMS = ("libvirtd",)
    qemu_user: str = "libvirt-qemu"
    """Runs qemu, where it exists and can do so; the default is that of Debian's libvirt-daemon-system."""

    @property
    def uri(self) -> str:
        return f"qemu:///system?socket={self.paths.libvirt_socket}"

    @property
    def pool_path(self) -> str:
        """Directory of the lab's storage pool, as libvirtd and qemu see it; created and removed by libvirtd."""
        return f"{_LIBRARY}/pool"

    def on_machine(self, path: str) -> str:
        """Where a file that libvirtd knows by this path is outside of its mount namespace."""
        inside = Path(path)
        known = inside.is_relative_to(_LIBRARY)
        return str(self.paths.libvirt / "lib" / inside.relative_to(_LIBRARY)) if known else path

    def ensure(self, progress: Progress) -> None:
        """Adopt the running libvirtd or start one; returns when it answers.

        Raises :class:`OverlabError` when the namespace's name is in use or libvirtd does not start.
        """
        if self.alive():
            return
        _require_root()
        user, hide_kvm = _qemu_user(self.qemu_user)
        self._make_directories(_QEMU_CONF.format(user=user, group=user))
        self.namespace.ensure()
        end(self.processes())
        with as_file(files("overlab.platform") / "scripts" / "private-libvirtd.sh") as script:
            # `ip netns exec`, not nsenter: it also shows the namespace's own /sys, which libvirt writes bridges through
            enter = f"ip netns exec {self.namespace.name} unshare --mount --propagation private -- sh".split()
            hidden = [_KVM] if hide_kvm else []
            self.start([*enter, script, self.paths.libvirt, self.paths.run, *hidden], _ENVIRONMENT, progress)

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

    def _make_directories(self, qemu_conf: str) -> None:
        private = (self.paths.state, self.paths.libvirt, self.paths.run, self.paths.run / "libvirt", self.paths.logs)
        for directory in private:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
        for name in ("etc", "lib", "log", "cache"):
            (self.paths.libvirt / name).mkdir(exist_ok=True)
        (self.paths.libvirt / "lib").chmod(0o711)
        write_private(self.paths.libvirt / "etc" / "libvirtd.conf", _LIBVIRTD_CONF.encode())
        write_private(self.paths.libvirt / "etc" / "qemu.conf", qemu_conf.encode())


def _qemu_user(wanted: str) -> tuple[str, bool]:
    """Name of the user that runs qemu, and whether KVM is hidden from libvirtd.

    It is root where this machine does not have the wanted one, or that cannot use a KVM that works. libvirtd asks qemu
    for its capabilities with the right to open every file: what that found and the user may not use would be asked for
    again before every start, which takes seconds.
    """
    try:
        user, group = pwd.getpwnam(wanted), grp.getgrnam(wanted)
    except KeyError:
        return "root", False
    if _may_use_kvm(user.pw_uid, {group.gr_gid, *os.getgrouplist(wanted, user.pw_gid)}):
        return wanted, False
    return ("root", False) if acceleration.probe().domain_type == "kvm" else (wanted, True)


def _may_use_kvm(user: int, groups: set[int]) -> bool:
    try:
        device = _KVM.stat()
    except OSError:
        return True
    bits = device.st_mode >> (6 if device.st_uid == user else 3 if device.st_gid in groups else 0)
    return bits & 0o6 == 0o6


def _require_root() -> None:
    if os.geteuid() != 0:
        raise OverlabError(
            "the bundled hypervisor needs root (network and mount namespaces)",
            "run the command with sudo, or use a system platform (overlab:lab platform.kind system)",
        )
