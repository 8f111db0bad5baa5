"""Where a Pulumi CLI is looked for: named by the user, on PATH, where its installer puts it, or built in the cache.

Standard library only: it is used before anything is installed.
"""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from overlab.core.errors import OverlabError
from overlab.core.paths import cache_entry, state_root
from overlab.platform import versions

SETTING_ENV = "OVERLAB_PULUMI"
CACHE_KIND = "pulumi-cli"
SOURCES = ("go.mod", "go.sum", "tools.go")
BUILD_FLAGS = (
    "-mod=readonly",
    "-trimpath",
    "-tags=osusergo,grpcnotrace",
    # an empty version panics in the CLI
    f"-ldflags=-w -s -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{versions.PULUMI}",
)
_LIMIT_S = 20.0


@dataclass(frozen=True)
class PulumiCli:
    """A Pulumi CLI: the real file (links resolved), and where it came from."""

    path: Path
    version: str
    source: str


def usable() -> PulumiCli | None:
    """The one that is taken without building any; a built one is not verified.

    Raises :class:`OverlabError` where the environment names one that is none.
    """
    content = cache_entry(CACHE_KIND, cache_key()) / "content"
    return on_machine() or (built(content) if (content / "pulumi").exists() else None)


def on_machine() -> PulumiCli | None:
    """The one that is named, or else on PATH where that is new enough."""
    found = named()
    if found is not None:
        return found
    found = on_path()
    return found if found is not None and versions.parse(found.version) >= versions.parse(versions.PULUMI) else None


def named() -> PulumiCli | None:
    """The one that the environment names, of any version."""
    path = os.environ.get(SETTING_ENV)
    if not path:
        return None
    real = Path(os.path.realpath(path))
    if not os.access(real, os.X_OK) or real.is_dir():
        raise OverlabError(
            f"{SETTING_ENV}={path} is not an executable file",
            f"point it at a pulumi {versions.PULUMI} or later, or unset it",
        )
    return PulumiCli(real, version_of(real), f"named by {SETTING_ENV}")


def on_path() -> PulumiCli | None:
    """The one on PATH, of any version."""
    found = _first_on_path()
    if found is None:
        return None
    real = Path(os.path.realpath(found))
    return PulumiCli(real, version_of(real), f"on PATH ({found})")


def built(content: Path) -> PulumiCli:
    return PulumiCli(content / "pulumi", versions.PULUMI, "built from the Go module, in the cache")


def candidate() -> str:
    """The file that would be examined first, without running it; empty where none is named or on PATH."""
    path = os.environ.get(SETTING_ENV) or _first_on_path()
    return os.path.realpath(path) if path else ""


def cache_key() -> dict[str, object]:
    """What decides the content of the built one."""
    return {
        "sources": {name: source(name) for name in SOURCES},
        "flags": BUILD_FLAGS,
        "machine": platform.machine(),
    }


def source(name: str) -> str:
    """A file of the Go module that is built."""
    return (files("overlab.platform") / "pulumi_cli" / name).read_text()


def version_of(path: Path) -> str:
    """What it reports, without a leading v. Raises :class:`OverlabError` where it reports none."""
    env = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run([path, "version"], env=env, capture_output=True, text=True, timeout=_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise OverlabError(f"`{path} version` failed: {error}", f"repair or remove it, or set {SETTING_ENV}") from error
    return done.stdout.strip().removeprefix("v")


def _first_on_path() -> Path | None:
    """The first `pulumi` that is not a lab's own command: on PATH, or where its installer puts it.

    sudo drops that directory from PATH.
    """
    installed = [Path(f"~{user}/.pulumi/bin") for user in ("", os.environ.get("SUDO_USER", ""))]
    directories = [Path(directory) for directory in os.environ.get("PATH", "").split(os.pathsep)]
    for directory in [*directories, *map(_expanded, installed)]:
        found = directory / "pulumi"
        if os.access(found, os.X_OK) and not found.is_dir() and not found.is_relative_to(state_root()):
            return found
    return None


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        return path
