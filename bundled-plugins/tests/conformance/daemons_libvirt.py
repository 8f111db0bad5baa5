"""A private libvirtd for tests: the bundled hypervisor, in directories of the test session."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import libvirt
import pytest

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform.private_libvirtd import PrivateLibvirtd

PROGRAMS = ("libvirtd", "qemu-system-x86_64", "qemu-img", "ip", "unshare", "dnsmasq", "mkisofs")


@dataclass(frozen=True)
class PrivateLibvirt:
    """A running private libvirtd: where it is and a connection of the test's own."""

    daemon: PrivateLibvirtd
    connection: libvirt.virConnect

    @property
    def uri(self) -> str:
        return self.daemon.uri

    @property
    def namespace(self) -> str:
        return self.daemon.namespace.name


def missing() -> str:
    """Why no private libvirtd can run here; "" when it can."""
    if os.geteuid() != 0:
        return "needs root (network and mount namespaces)"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"needs {', '.join(absent)} on PATH" if absent else ""


@contextmanager
def private_libvirt(directory: Path, name: str) -> Iterator[PrivateLibvirt]:
    """Start libvirtd below ``directory``, in a private network namespace; nothing of it is left afterwards."""
    reason = missing()
    if reason:
        pytest.skip(f"no private libvirtd: {reason}")
    paths = LabPaths(f"{name}-{os.getpid()}", directory)
    daemon = PrivateLibvirtd(paths, qemu_user="root")  # the tests' directories are closed to others
    try:
        try:
            daemon.ensure(Progress(quiet=True))
        except OverlabError as error:
            pytest.fail(f"the private libvirtd did not start: {error}")
        connection = libvirt.open(daemon.uri)
        try:
            yield PrivateLibvirt(daemon, connection)
        finally:
            connection.close()
    finally:
        daemon.stop()
        shutil.rmtree(paths.run, ignore_errors=True)
