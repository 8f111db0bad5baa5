"""Which Pulumi CLI is built, or accepted from the machine, and which Go builds it. Standard library only."""

import shutil

PULUMI = "3.259.0"
"""The version that is built, and the oldest that is accepted from the machine."""

GO = "1.25.11"
"""The oldest Go that can build it."""
_GO_DIRECTORIES = "/usr/local/go/bin:/usr/lib/go/bin"


def go() -> str | None:
    """Go on PATH, or where its installers put it."""
    return shutil.which("go") or shutil.which("go", path=_GO_DIRECTORIES)


def parse(version: str) -> tuple[int, ...]:
    """Major, minor and patch of a version, for comparison; what follows a hyphen does not count."""
    return tuple(int(number) for number in version.split("-")[0].lstrip("vgo").split(".")[:3] if number.isdigit())
