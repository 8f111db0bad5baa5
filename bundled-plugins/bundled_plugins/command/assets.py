"""Files that a command made, picked by globs and kept as assets."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.values import Archive, Asset, Properties


class Globs:
    """Patterns in order: a file is in as soon as one matches, a later ``!pattern`` takes it out again.

    ``*`` and ``?`` stop at ``/``, ``**`` does not; ``[ab]``, ``[!ab]`` and ``{a,b}`` as in a shell.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [(p.startswith("!"), re.compile(_regex(p.removeprefix("!")), re.DOTALL)) for p in patterns]

    def match(self, path: str) -> bool:
        included = False
        for negative, pattern in self._patterns:
            if included == negative and pattern.fullmatch(path):
                included = not negative
        return included

    def assets(self, directory: str) -> Properties:
        """The chosen files below the directory: slash path -> file asset with its SHA-256."""
        return {name: Asset("path", str(path), _sha256(path)) for name, path in self._files(Path(directory))}

    def archive(self, directory: str) -> Archive:
        """The chosen files as one archive."""
        assets = self.assets(directory)
        digest = hashlib.sha256()
        for name, asset in assets.items():
            digest.update(f"{name}\0{asset.hash}\n".encode())
        return Archive("assets", assets, digest.hexdigest())

    def _files(self, directory: Path) -> Iterator[tuple[str, Path]]:
        for folder, folders, files in os.walk(directory):
            folders.sort()
            for file in sorted(files):
                path = Path(folder, file)
                name = path.relative_to(directory).as_posix()
                if self.match(name):
                    yield name, path


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ProviderError(f"failed to read the asset {path}: {error.strerror}") from error


_TOKEN = re.compile(r"\*\*|\*|\?|\[!?[^]]+\]|[{},]|\\.|.", re.DOTALL)


def _regex(pattern: str) -> str:
    depth = 0
    parts: list[str] = []
    for token in _TOKEN.findall(pattern):
        if token == "**":
            parts.append(".*")
        elif token == "*":
            parts.append("[^/]*")
        elif token == "?":
            parts.append("[^/]")
        elif len(token) > 2 and token.startswith("["):
            inner = token[1:-1].replace("\\", r"\\")
            parts.append("[^" + inner[1:] + "]" if inner.startswith("!") else f"[{inner}]")
        elif token == "{":
            depth += 1
            parts.append("(?:")
        elif token == "}" and depth:
            depth -= 1
            parts.append(")")
        elif token == "," and depth:
            parts.append("|")
        else:
            parts.append(re.escape(token[-1] if token.startswith("\\") else token))
    if depth:
        raise ProviderError(f"the glob {pattern!r} has a {{ without its }}")
    return "".join(parts)
