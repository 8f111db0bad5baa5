"""Lists of Debian packages, with a use and a reason for each; the default is what overlab needs on this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE_LIST = Path(__file__).with_name("debian-packages.txt")


@dataclass(frozen=True)
class DebianPackage:
    name: str
    use: str
    """``up``, ``docker``, ``bundled``, ``vm``, ``container``, ``test`` or ``check``, as the list explains them; several
    with commas between."""
    reason: str
    program: str = ""
    """Where this is on PATH, the package need not be installed."""


def needed(uses: Sequence[str], file: Path = PACKAGE_LIST) -> list[DebianPackage]:
    """A list's packages for these uses, in its order."""
    packages = []
    for line in file.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, use, reason = line.split(maxsplit=2)
            package, _, program = name.partition("|")
            if not set(use.split(",")).isdisjoint(uses):
                packages.append(DebianPackage(package, use, reason, program))
    return packages


def has_dpkg() -> bool:
    """Whether this distribution has Debian's packages."""
    return shutil.which("dpkg-query") is not None


def missing(packages: list[DebianPackage]) -> list[DebianPackage]:
    """Those that are not installed and whose program is not on PATH; where there is no dpkg, all without a program."""
    packages = [one for one in packages if not (one.program and shutil.which(one.program))]
    cmd = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *(one.name for one in packages)]
    try:
        done = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return packages
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [one for one in packages if one.name not in installed]


def install_command(packages: list[DebianPackage]) -> str:
    return "apt-get install --no-install-recommends -y " + " ".join(one.name for one in packages)
