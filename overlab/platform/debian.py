"""The Debian packages that overlab needs: one list, with a reason for each."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class DebianPackage:
    name: str
    use: str
    """``up`` for every lab, ``bundled`` for the bundled platform, ``test`` for the tests, ``check`` for the linters."""
    reason: str


def needed(uses: Sequence[str]) -> list[DebianPackage]:
    """The list, for these uses, in its order."""
    packages = []
    for line in (files("overlab.platform") / "debian-packages.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            package = DebianPackage(*line.split(maxsplit=2))
            if package.use in uses:
                packages.append(package)
    return packages


def missing(packages: list[DebianPackage]) -> list[DebianPackage]:
    """Those that are not installed; all of them where there is no dpkg."""
    cmd = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *(one.name for one in packages)]
    try:
        done = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return packages
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [one for one in packages if one.name not in installed]


def install_command(packages: list[DebianPackage]) -> str:
    return "apt-get install --no-install-recommends -y " + " ".join(one.name for one in packages)
