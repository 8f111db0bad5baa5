"""The Pulumi CLI: found by ``pulumi_search``, or built here from its Go module."""

from __future__ import annotations

from pathlib import Path

from overlab.core import environment
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.core.removal import remove
from overlab.core.tools import output, run
from overlab.platform import cache, pulumi_search, versions
from overlab.platform.pulumi_search import PulumiCli

VERSION = versions.PULUMI
_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_BUILD_SPACE_MIB = 4000
_BUILD_LIMIT_S = 3600.0


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
        pulumi_search.CACHE_KIND,
        pulumi_search.cache_key(),
        lambda directory: _build(go_path, directory, progress),
        progress,
        space_mib=_BUILD_SPACE_MIB,
    )
    return pulumi_search.built(content)


def find() -> PulumiCli | None:
    """The CLI without building anything: named by the user, on PATH, or in the cache."""
    found = pulumi_search.on_machine()
    if found is not None:
        return found
    content = cache.find(pulumi_search.CACHE_KIND, pulumi_search.cache_key())
    return pulumi_search.built(content) if content is not None else None


# -- building --------------------------------------------------------------------------------------


def _build(go_path: Path, directory: Path, progress: Progress) -> None:
    """Only the binary may be left in ``directory``: the CLI prefers a language host beside itself to any other."""
    module = directory.parent / "module"
    module.mkdir()
    for name in pulumi_search.SOURCES:
        (module / name).write_text(pulumi_search.source(name))
    env = {"HOME": str(Path.home()), **environment.for_downloads(), "CGO_ENABLED": "0"}
    run(
        [go_path, "build", *pulumi_search.BUILD_FLAGS, "-o", directory / "pulumi", _PACKAGE],
        log=cache.log_file(pulumi_search.CACHE_KIND),
        progress=progress,
        cwd=module,
        env=env,
        limit_s=_BUILD_LIMIT_S,
    )
    remove(module, module.parent)
    built = pulumi_search.version_of(directory / "pulumi")
    if built != VERSION:
        raise OverlabError(f"the built CLI reports version {built}, expected {VERSION}")


def go() -> Path:
    remedy = (
        f"install Go >= {versions.GO}, or put pulumi >= {VERSION} on PATH, or name one by {pulumi_search.SETTING_ENV}"
    )
    older = pulumi_search.on_path()
    none = f"no Pulumi CLI from {VERSION} on was found" + (f" ({older.path} is {older.version})" if older else "")
    path = versions.go()
    if path is None:
        raise OverlabError(f"{none}, and no Go to build one", remedy)
    found = output([path, "env", "GOVERSION"], env=environment.for_downloads()).strip().removeprefix("go")
    if versions.parse(found) < versions.parse(versions.GO):
        raise OverlabError(f"{none}, and {path} is Go {found}, too old to build one", remedy)
    return Path(path)


if __name__ == "__main__":
    try:
        print(ensure(Progress()).path)
    except OverlabError as refused:
        raise SystemExit(str(refused)) from None
