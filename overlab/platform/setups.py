"""What this machine can run: nodes as containers, machines with KVM, emulated machines, and what each still needs.

``python3 -m overlab.platform.setups`` prints it. It runs before anything is installed: this module and what it imports
need Python's standard library alone. It changes nothing.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from overlab.core.errors import OverlabError
from overlab.platform import acceleration, container_host, debian, docker_info, pulumi_search, versions

_LIMIT_S = 20.0


@dataclass(frozen=True)
class Lack:
    """Something that a setup needs and this machine does not have."""

    what: str
    remedy: str
    by_make: bool = False
    """Whether the setup's own command gets it."""


@dataclass(frozen=True)
class Setup:
    """A way to run a lab."""

    name: str
    command: str
    takes: str
    lacks: tuple[Lack, ...]

    @property
    def possible(self) -> bool:
        """Whether its command succeeds on this machine as it is."""
        return all(lack.by_make for lack in self.lacks)


def examine() -> list[Setup]:
    """The setups, the quickest first."""
    kvm, reason = _kvm()
    machines = ("up", "bundled", "vm")
    built = "" if _pulumi() else ", and 5 min once to build the Pulumi CLI"
    return [
        _containers(built),
        Setup(
            f"machines {'with KVM' if kvm else 'emulated'} ({reason})",
            "make up",
            f"{'not measured' if kvm else '3 to 4 min'}, and 2 min once for images{built}",
            tuple(_lacks(machines)),
        ),
    ]


def _containers(built: str) -> Setup:
    """Nodes as containers: on the machine's own Docker, or as root, where that is not usable, on a private one."""
    error = None
    try:
        own = docker_info.choice() is not None
    except OverlabError as refusal:
        own, error = True, refusal
    if own:
        name, takes = "nodes as containers on this machine's Docker", "1 min once for the nodes' image"
        lacks = tuple(_lacks_of_docker(error))
    else:
        name, takes = "nodes as containers", "2 min once for images"
        lacks = tuple(_lacks(("up", "bundled", "container"), container_host.missing()))
    return Setup(name, "make try", f"about 1 min, and {takes}{built}", lacks)


def describe(setups: Sequence[Setup]) -> str:
    """The setups as text, with what each lacks and the command that gets it."""
    lines = [f"this machine: {_system()}", ""]
    for setup in sorted(setups, key=lambda one: not one.possible):
        lines += [f"{setup.command:10} {setup.name}", f"{'':10} takes {setup.takes}"]
        lines += [f"{'':10} {line}" for lack in setup.lacks for line in _lines(lack)]
        lines += [f"{'':10} nothing is missing"] if not setup.lacks else []
    best = next((setup for setup in setups if setup.possible), None)
    lines += ["", f"begin with: {best.command}" if best else "no setup is possible before what is missing is there"]
    return "\n".join(lines)


def _lines(lack: Lack) -> list[str]:
    if lack.by_make:
        return [f"installs {lack.what}"]
    return [f"missing: {lack.what}", f"  remedy: {lack.remedy}"]


# -- what is needed --------------------------------------------------------------------------------


def _lacks_of_docker(error: OverlabError | None) -> Iterator[Lack]:
    """Of a normal user; the kernel's features are looked for in a container, by ``make try``."""
    if other_system := _other_system():
        yield other_system
        return
    if error is not None:
        yield Lack(error.what, error.remedy or "")
    if debian.has_dpkg():
        yield from _packages(("docker",), os.geteuid() == 0)
    elif not shutil.which("ssh"):
        yield Lack("ssh", "install it by its name in this distribution")
    yield from _lacks_of_pulumi()


def _other_system() -> Lack | None:
    if (sys.platform, platform.machine()) == ("linux", docker_info.PROCESSOR):
        return None
    return Lack(f"Linux on {docker_info.PROCESSOR}", "use such a machine, or a virtual machine with it")


def _lacks_of_pulumi() -> Iterator[Lack]:
    if not _pulumi() and not _go():
        yield Lack(_no_pulumi(), f"install Go {versions.GO} or newer, or Pulumi {versions.PULUMI} or newer")


def _lacks(uses: Sequence[str], more: Iterable[str] = ()) -> Iterator[Lack]:
    if other_system := _other_system():
        yield other_system
        return
    root = os.geteuid() == 0
    if not root:
        yield Lack("root: network namespaces and private daemons need it", "run the command as root (sudo)")
    yield from _packages(uses, root)
    yield from _lacks_of_pulumi()
    yield from (Lack(missing, "use a machine, or a container, that has it") for missing in more)


def _packages(uses: Sequence[str], root: bool) -> Iterator[Lack]:
    missing = debian.missing(debian.needed(uses))
    if not missing:
        return
    names = " ".join(one.name for one in missing)
    if not shutil.which("apt-get"):
        yield Lack(f"what Debian has in these packages: {names}", "install them by the names of this distribution")
    else:
        yield Lack(f"Debian packages {names}", f"sudo {debian.install_command(missing)}", by_make=root)


# -- what is there ---------------------------------------------------------------------------------


def _kvm() -> tuple[bool, str]:
    if not shutil.which(acceleration.QEMU):
        usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
        return usable, "/dev/kvm can be used" if usable else "/dev/kvm is missing or cannot be used"
    found = acceleration.probe()
    return found.domain_type == "kvm", found.reason


def _pulumi() -> bool:
    """Whether a CLI is found that is new enough, or was built."""
    try:
        return pulumi_search.usable() is not None
    except OverlabError:
        return False


def _go() -> bool:
    go = versions.go()
    return go is not None and versions.parse(_output(go, "env", "GOVERSION")) >= versions.parse(versions.GO)


def _no_pulumi() -> str:
    try:
        found = pulumi_search.named() or pulumi_search.on_path()
        older = f" ({found.path} is {found.version})" if found else ""
    except OverlabError as error:
        older = f" ({error.what})"
    return f"Pulumi {versions.PULUMI} or newer{older}, or Go {versions.GO} or newer to build it"


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _system() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    user = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
    parts = (_distribution(), platform.machine(), f"{os.cpu_count()} processors", f"{memory} GiB", user)
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", sys.platform)
    except OSError:
        return sys.platform


if __name__ == "__main__":
    found = examine()
    print(describe(found))
    sys.exit(not any(setup.possible for setup in found))
