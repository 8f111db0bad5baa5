"""Prints, as JSON, what the interpreter that runs it has installed. Standard library only, Python 3.9."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

MARKER = "pulumi-plugin.json"


def main() -> None:
    # The first entry is this file's own directory.
    print(
        json.dumps(
            {
                "executable": sys.executable,
                "version": platform.python_version(),
                "distributions": distributions(),
                "plugins": plugins(sys.path[1:]),
            }
        )
    )


def distributions() -> list[dict[str, str]]:
    """Name and version of each installed distribution, by name; of a name found twice the one that is imported."""
    found: dict[str, dict[str, str]] = {}
    for each in metadata.distributions():
        name = each.metadata["Name"]
        if name:
            found.setdefault(name.lower(), {"name": name, "version": each.version})
    return [found[key] for key in sorted(found)]


def plugins(path: list[str]) -> list[dict[str, object]]:
    """The content of each package's ``pulumi-plugin.json`` on ``path``, with the package's name as ``package``."""
    found: dict[str, dict[str, object]] = {}
    for directory in path:
        if not Path(directory).is_dir():
            continue  # a zip file, or nothing
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
        for name in names:
            marker = Path(directory, name, MARKER)
            if name not in found and marker.is_file():
                found[name] = {**json.loads(marker.read_text(encoding="utf-8")), "package": name}
    return list(found.values())


if __name__ == "__main__":
    main()
