"""The Pulumi CLI: named by the user, found on PATH, or built here from its Go module."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from overlab.core import environment
from overlab.core.errors import OverlabError
from overlab.core.paths import state_root
from overlab.core.progress import Progress
from overlab.core.removal import remove
from overlab.core.tools import output, run
from overlab.platform import cache, versions

VERSION = versions.PULUMI
SETTING_ENV = "OVERLAB_PULUMI"
_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_BUILD_FLAGS = (
    "-mod=readonly",
    "-trimpath",
    "-tags=osusergo,grpcnotrace",
    # an empty version panics in the CLI
    f"-ldflags=-w -s -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{VERSION}",
)
_BUILD_SPACE_MIB = 4000
_BUILD_LIMIT_S = 3600.0


@dataclass(frozen=True)
class PulumiCli:
    """A Pulumi CLI: the real file (links resolved), and where it came from."""

    path: Path
    version: str
    source: str


def ensure(progress: Progress) -> PulumiCli:
    """Find the CLI (named by the environment, on PATH) or build it into the cache.

    No stack file names it: it runs as the user of overlab, mostly root.

    Building takes some minutes, once per user.

    Raises :class:`OverlabError` when there is none and it cannot be built.
    """
    found = find()
    if found is not None:
        return found
    go_path = go()
    content = cache.entry(
        "pulumi-cli",
        _key(),
        lambda directory: _build(go_path, directory, progress),
        progress,
        space_mib=_BUILD_SPACE_MIB,
    )
    return _built(content)


def find() -> PulumiCli | None:
    """The CLI without building anything: named by the user, on PATH, or in the cache."""
    from_environment = os.environ.get(SETTING_ENV)
    if from_environment:
        return _named(Path(from_environment))
    on_path = _on_path()
    if on_path is not None and versions.parse(on_path.version) >= versions.parse(VERSION):
        return on_path
    content = cache.find("pulumi-cli", _key())
    return _built(content) if content is not None else None


def candidate() -> str:
    """The file that :func:`find` would examine first, without running it; empty where none is named or on PATH."""
    path = os.environ.get(SETTING_ENV) or _first_on_path()
    return os.path.realpath(path) if path else ""


# -- resolution order ------------------------------------------------------------------------------


def _named(path: Path) -> PulumiCli:
    real = Path(os.path.realpath(path))
    if not os.access(real, os.X_OK) or real.is_dir():
        raise OverlabError(
            f"{SETTING_ENV}={path} is not an executable file", f"point it at a pulumi {VERSION} or later, or unset it"
        )
    return PulumiCli(real, _version(real), f"named by {SETTING_ENV}")


def _on_path() -> PulumiCli | None:
    found = _first_on_path()
    if found is None:
        return None
    real = Path(os.path.realpath(found))
    return PulumiCli(real, _version(real), f"on PATH ({found})")


def _first_on_path() -> Path | None:
    """The first `pulumi` that is not a lab's own command: on PATH, or where its installer puts it.

    sudo drops that directory from PATH.
    """
    installed = [Path(f"~{user}/.pulumi/bin") for user in ("", os.environ.get("SUDO_USER", ""))]
    on_path = [Path(directory) for directory in os.environ.get("PATH", "").split(os.pathsep)]
    for directory in [*on_path, *map(_expanded, installed)]:
        found = directory / "pulumi"
        if os.access(found, os.X_OK) and not found.is_dir() and not found.is_relative_to(state_root()):
            return found
    return None


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _built(content: Path) -> PulumiCli:
    return PulumiCli(content / "pulumi", VERSION, "built from the Go module, in the cache")


# -- building --------------------------------------------------------------------------------------


def _key() -> dict[str, object]:
    return {
        "sources": {name: _source(name) for name in ("go.mod", "go.sum", "tools.go")},
        "flags": _BUILD_FLAGS,
        "machine": platform.machine(),
    }


def _source(name: str) -> str:
    return (files("overlab.platform") / "pulumi_cli" / name).read_text()


def _build(go_path: Path, directory: Path, progress: Progress) -> None:
    """Only the binary may be left in ``directory``: the CLI prefers a language host beside itself to any other."""
    module = directory.parent / "module"
    module.mkdir()
    for name in ("go.mod", "go.sum", "tools.go"):
        (module / name).write_text(_source(name))
    env = {"HOME": str(Path.home()), **environment.for_downloads(), "CGO_ENABLED": "0"}
    run(
        [go_path, "build", *_BUILD_FLAGS, "-o", directory / "pulumi", _PACKAGE],
        log=cache.log_file("pulumi-cli"),
        progress=progress,
        cwd=module,
        env=env,
        limit_s=_BUILD_LIMIT_S,
    )
    remove(module, module.parent)
    built = _version(directory / "pulumi")
    if built != VERSION:
        raise OverlabError(f"the built CLI reports version {built}, expected {VERSION}")


def go() -> Path:
    remedy = f"install Go >= {versions.GO}, or put pulumi >= {VERSION} on PATH, or name one by {SETTING_ENV}"
    older = _on_path()
    none = f"no Pulumi CLI from {VERSION} on was found" + (f" ({older.path} is {older.version})" if older else "")
    path = versions.go()
    if path is None:
        raise OverlabError(f"{none}, and no Go to build one", remedy)
    found = output([path, "env", "GOVERSION"], env=environment.for_downloads()).strip().removeprefix("go")
    if versions.parse(found) < versions.parse(versions.GO):
        raise OverlabError(f"{none}, and {path} is Go {found}, too old to build one", remedy)
    return Path(path)


def _version(path: Path) -> str:
    env = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    return output([path, "version"], env=env).strip().removeprefix("v")


if __name__ == "__main__":
    try:
        print(ensure(Progress()).path)
    except OverlabError as refused:
        raise SystemExit(str(refused)) from None
