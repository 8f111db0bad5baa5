"""Pulumi's plugins for one lab: official ones where available, else the bundled ones in Python.

The lab has its own PULUMI_HOME. A bundled plugin is a small launcher in it, at the exact version that the
installed SDK requires; an official plugin of that version from the user's ``~/.pulumi`` is linked instead.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Literal

import overlab
from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.paths import LabPaths
from overlab.core.removal import remove

CHOICE_ENV = "OVERLAB_PLUGINS"
"""``auto`` (default): official where present, else bundled. ``official``: nothing bundled, Pulumi fetches the rest.
``bundled``: bundled even where an official one is on PATH or in the user's plugin cache."""

BUNDLED_ROOT = Path(overlab.__file__).resolve().parents[1] / "bundled-plugins"
"""The project of the bundled plugins in this checkout."""

_MARK = "# overlab bundled plugin"
Choice = Literal["auto", "official", "bundled"]


@dataclass(frozen=True)
class Plugin:
    """A plugin that the program needs. ``module`` is the bundled one, ``package`` the SDK that fixes the version."""

    kind: Literal["resource", "language"]
    name: str
    package: str
    module: str

    @property
    def file(self) -> str:
        return f"pulumi-{self.kind}-{self.name}"

    @property
    def version(self) -> str:
        return installed_version(self.package)

    @property
    def directory(self) -> str:
        """Below ``$PULUMI_HOME/plugins``."""
        return f"{self.kind}-{self.name}-v{self.version}"


PLUGINS = (
    Plugin("language", "python", "pulumi", "bundled_plugins.language_host"),
    Plugin("resource", "docker", "pulumi-docker", "bundled_plugins.docker"),
    Plugin("resource", "libvirt", "pulumi-libvirt", "bundled_plugins.libvirt"),
    Plugin("resource", "command", "pulumi-command", "bundled_plugins.command"),
)


@dataclass(frozen=True)
class PluginSource:
    """Where a plugin comes from, and what the lab's PULUMI_HOME holds of it."""

    plugin: Plugin
    source: str
    bundled: bool = False
    """Whether PULUMI_HOME holds our launcher."""
    link: Path | None = None
    """The official plugin that PULUMI_HOME links to; None for one on PATH, beside the CLI, or left to Pulumi."""


def choice() -> Choice:
    """The user's setting. Raises :class:`OverlabError` for an unknown one."""
    value = os.environ.get(CHOICE_ENV) or "auto"
    for known in ("auto", "official", "bundled"):
        if value == known:
            return known
    raise OverlabError(f"{CHOICE_ENV}={value} is unknown", "use auto, official or bundled")


def resolve(cli: Path) -> list[PluginSource]:
    """The source of each plugin for a CLI. Reads only."""
    setting = choice()
    return [_resolve(plugin, cli, setting) for plugin in PLUGINS]


def install(paths: LabPaths, cli: Path) -> list[PluginSource]:
    """Make the lab's PULUMI_HOME hold exactly what :func:`resolve` returns. Fast when nothing changed."""
    sources = resolve(cli)
    directory = paths.pulumi_home / "plugins"
    directory.mkdir(parents=True, exist_ok=True)
    paths.pulumi_home.chmod(0o700)
    for one in sources:
        if _problem(one, directory) is not None:
            _put(one, directory / one.plugin.directory)
        (directory / f"{one.plugin.directory}.partial").unlink(missing_ok=True)
    return sources


def problems(paths: LabPaths, cli: Path) -> dict[str, str]:
    """Plugin name -> how PULUMI_HOME differs from what :func:`resolve` returns; :func:`install` repairs all of it."""
    found = {one.plugin.name: _problem(one, paths.pulumi_home / "plugins") for one in resolve(cli)}
    return {name: problem for name, problem in found.items() if problem is not None}


def acquisition_disabled(sources: list[PluginSource]) -> bool:
    """Whether Pulumi must not download plugins: where bundled ones are in use."""
    return any(one.bundled for one in sources)


def launcher(plugin: Plugin, python: Path | None = None, root: Path = BUNDLED_ROOT) -> str:
    """Text of the executable that starts a plugin, found below ``root``, with this interpreter, isolated (-I)."""
    python = python or Path(sys.executable)
    start = f"#!{python} -I"
    if " " in str(python) or len(start) > 127:  # the kernel's limits for an interpreter line
        start = f"#!/bin/sh\n'''exec' \"{python}\" -I \"$0\" \"$@\"\n' '''"
    return (
        f"{start}\n{_MARK}\nimport sys\n\nsys.path.insert(0, {str(root)!r})\n"
        f'from {plugin.module}.__main__ import main\n\nif __name__ == "__main__":\n    sys.exit(main())\n'
    )


# -- resolution order ------------------------------------------------------------------------------


def _resolve(plugin: Plugin, cli: Path, setting: Choice) -> PluginSource:
    beside = cli.parent / plugin.file
    if plugin.kind == "language" and beside.is_file():
        return PluginSource(plugin, f"official, beside the CLI ({beside})")
    on_path = shutil.which(plugin.file)
    if on_path is not None and setting != "bundled":
        return PluginSource(plugin, f"official, on PATH ({on_path})")
    if setting != "bundled":
        home = Path.home() / ".pulumi"
        file = home / "plugins" / plugin.directory / plugin.file
        if file.is_file() and not _is_ours(file):
            return PluginSource(plugin, f"official, in {home}", link=file)
    if setting == "official":
        return PluginSource(plugin, "official, fetched by Pulumi itself")
    return PluginSource(plugin, "bundled", bundled=True)


def _is_ours(file: Path) -> bool:
    with file.open("rb") as opened:
        return _MARK.encode() in opened.read(4096)


def _problem(one: PluginSource, plugins: Path) -> str | None:
    file = plugins / one.plugin.directory / one.plugin.file
    if file.is_symlink() and file.readlink() != one.link:
        vanished = "" if file.exists() else ", which is gone"
        return f"linked to {file.readlink()}{vanished}; now: {one.source}"
    if one.link is not None and not file.is_symlink():
        return f"not linked to {one.link}"
    if one.bundled:
        if not file.is_file():
            return f"{file} is missing"
        if file.read_bytes() != launcher(one.plugin).encode() or not os.access(file, os.X_OK):
            return f"{file} is not this checkout's launcher"
    elif one.link is None and file.is_file() and _is_ours(file):
        return f"{file} is bundled; now: {one.source}"
    return None


def _put(one: PluginSource, directory: Path) -> None:
    remove(directory, directory.parent)
    file = directory / one.plugin.file
    if one.bundled:
        write_private(file, launcher(one.plugin).encode(), mode=0o755)
    elif one.link is not None:
        directory.mkdir(parents=True)
        file.symlink_to(one.link)
