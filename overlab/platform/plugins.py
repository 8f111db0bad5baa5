"""Pulumi's plugins for one lab: official ones where they can be had, else the bundled ones in Python.

The lab has a PULUMI_HOME of its own. A bundled plugin is there a small launcher at the exact version that the
installed SDK asks for; an official plugin of that version found with the user is linked instead.
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
from overlab.core.paths import LabPaths, state_root
from overlab.core.process import write_private
from overlab.platform.toolchain import PulumiCli

CHOICE_ENV = "OVERLAB_PLUGINS"
"""``auto`` (default): official where present, else bundled. ``official``: nothing bundled, Pulumi fetches the rest.
``bundled``: bundled even where an official one lies on PATH or in the user's plugin cache."""

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
class Found:
    """Where a plugin comes from. ``source`` is None for bundled, on PATH, beside the CLI, or left to Pulumi."""

    plugin: Plugin
    rung: str
    bundled: bool
    source: Path | None = None


def choice() -> Choice:
    """The user's setting. Raises :class:`OverlabError` for an unknown one."""
    value = os.environ.get(CHOICE_ENV) or "auto"
    for known in ("auto", "official", "bundled"):
        if value == known:
            return known
    raise OverlabError(f"{CHOICE_ENV}={value} is unknown", "use auto, official or bundled")


def survey(cli: PulumiCli) -> list[Found]:
    """For each plugin the rung of the ladder that is taken. Reads only."""
    wish = choice()
    return [_find(plugin, cli, wish) for plugin in PLUGINS]


def install(paths: LabPaths, cli: PulumiCli) -> list[Found]:
    """Make the lab's PULUMI_HOME hold exactly what :func:`survey` says. Fast when nothing changed."""
    found = survey(cli)
    shelf = paths.pulumi_home / "plugins"
    shelf.mkdir(parents=True, exist_ok=True)
    paths.pulumi_home.chmod(0o700)
    for one in found:
        _place(one, shelf / one.plugin.directory)
    return found


def acquisition_disabled(found: list[Found]) -> bool:
    """Whether Pulumi is kept from downloading plugins: only where bundled ones are in use."""
    return any(one.bundled for one in found)


def launcher(plugin: Plugin, python: Path | None = None, root: Path = BUNDLED_ROOT) -> str:
    """Text of the executable that starts a plugin, found below ``root``, with this interpreter."""
    python = python or Path(sys.executable)
    start = f"#!{python}"
    if " " in str(python) or len(start) > 127:  # the kernel's limits for an interpreter line
        start = f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''"
    return (
        f"{start}\n{_MARK}\nimport sys\n\nsys.path[0] = {str(root)!r}\n"
        f'from {plugin.module}.__main__ import main\n\nif __name__ == "__main__":\n    sys.exit(main())\n'
    )


# -- the ladder ------------------------------------------------------------------------------------


def _find(plugin: Plugin, cli: PulumiCli, wish: Choice) -> Found:
    beside = cli.path.parent / plugin.file
    if plugin.kind == "language" and beside.is_file():
        return Found(plugin, f"official, beside the CLI ({beside})", bundled=False)
    on_path = shutil.which(plugin.file)
    if on_path is not None and wish != "bundled":
        return Found(plugin, f"official, on PATH ({on_path})", bundled=False)
    if wish != "bundled":
        for home in _homes():
            file = home / "plugins" / plugin.directory / plugin.file
            if file.is_file() and not _is_ours(file):
                return Found(plugin, f"official, in {home}", bundled=False, source=file)
    if wish == "official":
        return Found(plugin, "official, fetched by Pulumi itself", bundled=False)
    return Found(plugin, "bundled", bundled=True)


def _homes() -> list[Path]:
    """PULUMI_HOME of the caller and the default one, unless it is a lab's own."""
    homes = [Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi"), Path.home() / ".pulumi"]
    return [home for home in dict.fromkeys(homes) if not home.is_relative_to(state_root())]


def _is_ours(file: Path) -> bool:
    with file.open("rb") as opened:
        return _MARK.encode() in opened.read(4096)


def _place(found: Found, directory: Path) -> None:
    file = directory / found.plugin.file
    if found.bundled:
        text = launcher(found.plugin).encode()
        if not (file.is_file() and not file.is_symlink() and file.read_bytes() == text and os.access(file, os.X_OK)):
            _clear(directory)
            write_private(file, text, mode=0o755)
    elif found.source is not None:
        if not (file.is_symlink() and file.readlink() == found.source):
            _clear(directory)
            directory.mkdir(parents=True)
            file.symlink_to(found.source)
    elif file.is_symlink() or (file.is_file() and _is_ours(file)):
        _clear(directory)
    directory.with_name(directory.name + ".partial").unlink(missing_ok=True)


def _clear(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
