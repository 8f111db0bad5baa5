"""Commands about the cache of what is built: cache export, cache import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overlab.core.paths import cache_root
from overlab.core.progress import Progress
from overlab.platform import cache, cache_archive

commands = typer.Typer()
_cache = typer.Typer(help="The cache of what was built, as a file.", no_args_is_help=True)
commands.add_typer(_cache, name="cache")

File = Annotated[Path, typer.Argument(metavar="FILE")]


@_cache.command(name="export", epilog="Example: overlab cache export overlab-cache.tar")
def export(file: File) -> None:
    """Write what needs package sources to a file: with it a lab comes up on a machine that has none."""
    for one in cache_archive.write(file, Progress()):
        print(f"{one.directory.relative_to(cache_root())}  {one.size >> 20} MiB")
    print(f"{cache.file_digest(file)}  {file}")


@_cache.command(name="import", epilog="Example: overlab cache import overlab-cache.tar --sha256 DIGEST")
def import_(
    file: File,
    digest: Annotated[str, typer.Option("--sha256", help="Refuse a file that has another SHA-256.")] = "",
) -> None:
    """Take over what a file of `cache export` has and the cache has not; each file in it must match its checksum."""
    taken = cache_archive.read(file, Progress(), digest)
    print("\n".join(str(one.relative_to(cache_root())) for one in taken) or "the cache has all of it already")
