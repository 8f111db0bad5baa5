"""Container images built from Debian packages, in a registry's storage under Docker Hub's names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.core.removal import remove
from overlab.core.tools import output
from overlab.platform import cache, mmdebstrap, oci

REVISION = 1
"""Increment it to pick up newer packages of the same releases; until then an image's digest is constant."""
FILES = Path(__file__).parent / "containers"


@dataclass(frozen=True)
class Recipe:
    """A container image: its names, its Debian suite and packages, and how its root directory is filled."""

    names: tuple[str, ...]
    suite: str
    packages: tuple[str, ...]
    fill: Callable[[Path, Path], None]
    """``fill(unpacked packages, empty tree of the image)``."""
    run: oci.Run


def ensure(progress: Progress) -> Path:
    """Storage directory of a registry that holds all images, from the cache or built now (half a minute)."""

    def build(directory: Path) -> None:
        with progress.step("container images from Debian packages"):
            _build(directory, cache.log_file("images"), progress)

    return cache.entry("images", key_parts(), build, progress, space_mib=1500)


def names() -> list[str]:
    """``repository:tag`` of every image in the storage."""
    return [name for recipe in RECIPES for name in recipe.names]


def key_parts() -> dict[str, object]:
    files = sorted(path for path in FILES.rglob("*") if path.is_file())
    return {
        "revision": REVISION,
        "recipes": [(recipe.names, recipe.suite, recipe.packages, repr(recipe.run)) for recipe in RECIPES],
        "files": {str(path.relative_to(FILES)): cache.file_digest(path) for path in files},
        "code": [cache.file_digest(Path(module)) for module in (__file__, oci.__file__)],
    }


def _build(directory: Path, log: Path, progress: Progress) -> None:
    # inside the entry under construction: the remains of a killed build are removed by the next one
    scratch = directory / ".scratch"
    scratch.mkdir()
    unpacked = {suite: _unpack(suite, scratch, log, progress) for suite in sorted({one.suite for one in RECIPES})}
    for number, recipe in enumerate(RECIPES):
        tree = scratch / f"tree-{number}"
        tree.mkdir()
        recipe.fill(unpacked[recipe.suite], tree)
        image = oci.build(tree, scratch / f"layer-{number}.tar", recipe.run)
        for name in recipe.names:
            oci.store(image, name, directory)
    remove(scratch, directory)


def _unpack(suite: str, scratch: Path, log: Path, progress: Progress) -> Path:
    """The packages of all recipes of a suite and their dependencies, unpacked and not configured."""
    target = scratch / suite
    packages = sorted({package for recipe in RECIPES if recipe.suite == suite for package in recipe.packages})
    mmdebstrap.bootstrap(
        suite, target, packages, ["--variant=extract"], scratch=scratch, log=log, progress=progress, limit_s=900
    )
    return target


# -- what goes into a tree -------------------------------------------------------------------------


def _fill_base(tree: Path, busybox: Path) -> None:
    """A shell with its applets, users, and the directories that programs expect."""
    for name in ("bin", "etc", "run", "var"):
        _directory(tree / name, 0o755)
    _directory(tree / "root", 0o700)
    _directory(tree / "tmp", 0o1777)
    (tree / "var/run").symlink_to("../run")
    _copy(busybox, tree / "bin/busybox", 0o755)
    for applet in output([busybox, "--list"]).split():
        if applet != "busybox":
            (tree / "bin" / applet).symlink_to("busybox")
    for file in sorted((FILES / "etc").iterdir()):
        _copy(file, tree / "etc" / file.name, 0o644)


def _fill_busybox(packages: Path, tree: Path) -> None:
    _fill_base(tree, packages / "bin/busybox")


def _fill_consul(packages: Path, tree: Path) -> None:
    _fill_base(tree, packages / "bin/busybox")
    _copy_program(packages, "usr/bin/consul", tree)
    _copy(FILES / "consul/docker-entrypoint.sh", tree / "usr/bin/docker-entrypoint.sh", 0o755)
    for name in ("consul", "consul/config", "consul/data"):
        _directory(tree / name, 0o755)
        os.chown(tree / name, 100, 1000)


def _fill_etcd(packages: Path, tree: Path) -> None:
    _fill_base(tree, packages / "bin/busybox")
    _copy_program(packages, "usr/bin/etcd", tree)
    _copy_program(packages, "usr/bin/etcdctl", tree)
    for name in ("etcd", "etcd/data"):
        # etcd warns of a data directory that others can read.
        _directory(tree / name, 0o700)
        os.chown(tree / name, 101, 1001)


def _fill_nginx(packages: Path, tree: Path) -> None:
    _fill_base(tree, packages / "bin/busybox")
    _copy_program(packages, "usr/sbin/nginx", tree)
    _copy(packages / "etc/nginx/mime.types", tree / "etc/nginx/mime.types", 0o644)
    for file in ("nginx.conf", "conf.d/default.conf"):
        _copy(FILES / "nginx" / file, tree / "etc/nginx" / file, 0o644)
    _copy(packages / "usr/share/nginx/html/index.html", tree / "usr/share/nginx/html/index.html", 0o644)
    for name in ("var/lib/nginx", "var/log/nginx"):
        _directory(tree / name, 0o755)


def _copy_program(packages: Path, program: str, tree: Path) -> None:
    """A program with its loader and the shared libraries that it is linked to, each under its own path."""
    _copy(packages / program, tree / program, 0o755)
    # the C library loads the last two by name, to look up users and hosts
    name_services = [f"lib/x86_64-linux-gnu/libnss_{name}.so.2" for name in ("files", "dns")]
    for library in [*_libraries(packages, program), *name_services]:
        _copy(_real(packages, library), tree / library, 0o755)


def _libraries(packages: Path, program: str) -> list[str]:
    """Paths below ``packages`` of what its own loader resolves for a program, the loader included."""
    loader = "lib64/ld-linux-x86-64.so.2"
    found = [loader]
    for line in output(["chroot", packages, f"/{loader}", "--list", f"/{program}"]).splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        if not arrow:
            continue
        if not rest.startswith("/"):
            raise OverlabError(f"{program} needs {name}, which is not among the unpacked packages ({rest})")
        found.append(rest.rsplit(" (", 1)[0].lstrip("/"))
    return found


def _real(root: Path, path: str) -> Path:
    """The file that a path resolves to in a tree; absolute links are relative to the tree."""
    file = root / path
    while file.is_symlink():
        target = file.readlink()
        file = root / target.relative_to("/") if target.is_absolute() else file.parent / target
    return file


def _directory(path: Path, mode: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


def _copy(source: Path, target: Path, mode: int) -> None:
    """Copy the content of ``source``, links followed, creating parent directories."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


# Each program runs as the hub's image runs it; what differs is where the files come from.
RECIPES = (
    Recipe(
        names=("library/busybox:1.35",),
        suite="bookworm",
        packages=("busybox-static",),
        fill=_fill_busybox,
        run=oci.Run(command=("sh",)),
    ),
    Recipe(
        names=("library/consul:1.8", "hashicorp/consul:1.8"),
        suite="bullseye",
        packages=("consul", "busybox-static"),
        fill=_fill_consul,
        run=oci.Run(
            entrypoint=("docker-entrypoint.sh",),
            command=("agent", "-dev", "-client", "0.0.0.0"),
            ports=("8300/tcp", "8301/tcp", "8301/udp", "8302/tcp", "8302/udp", "8500/tcp", "8600/tcp", "8600/udp"),
            volumes=("/consul/data",),
        ),
    ),
    Recipe(
        names=("overlab/etcd:3.3",),
        suite="bullseye",
        packages=("etcd-server", "etcd-client", "busybox-static"),
        fill=_fill_etcd,
        run=oci.Run(command=("etcd",), user="101:1001", ports=("2379/tcp", "2380/tcp"), volumes=("/etcd/data",)),
    ),
    Recipe(
        names=("library/nginx:1.18",),
        suite="bullseye",
        packages=("nginx-light", "busybox-static"),
        fill=_fill_nginx,
        run=oci.Run(command=("nginx", "-g", "daemon off;"), ports=("80/tcp",), stop_signal="SIGQUIT"),
    ),
)
