"""OpenSSH from outside the lab's network namespace: the same keys, and a way in where the ground is embedded."""

from __future__ import annotations

import shlex
import sys
from importlib.resources import files

from components import conventions
from components.ground import Ground
from components.settings import Settings
from overlab import remote
from overlab.ground.embedded import EmbeddedLibvirt
from overlab.ground.paths import LabPaths


def options(settings: Settings, ground: Ground) -> dict[str, str]:
    """OpenSSH's options for every node, from wherever ssh runs on this machine."""
    return remote.options(ground) | _way_in(settings, ground)


def render(settings: Settings, ground: Ground) -> str:
    """An ``ssh_config`` with every node by its key: ``ssh -F <(overlab ssh-config) docker01``."""
    shared = options(settings, ground)
    lines = [f"# lab {settings.name}; use: ssh -F <(overlab ssh-config) {next(iter(settings.nodes))}"]
    for key, node in settings.nodes.items():
        own = {"HostName": str(node.address), "Port": str(conventions.SSH_PORT), "User": "root"}
        lines.append(f"Host {key} {node.address}")
        lines += [f"    {name} {_quoted(name, value)}" for name, value in (own | shared).items()]
    return "\n".join(lines) + "\n"


def _way_in(settings: Settings, ground: Ground) -> dict[str, str]:
    """The nodes of an embedded ground are reached from inside its namespace alone."""
    if ground.kind != "embedded":
        return {}
    script = files("overlab.look") / "connect.py"
    namespace = EmbeddedLibvirt(LabPaths(settings.name)).namespace
    # Isolated (-I): neither the caller's directory nor its environment has a say in what the helper imports.
    words = namespace.command([sys.executable, "-I", str(script)])
    return {"ProxyCommand": f"{shlex.join(words)} %h %p", "ProxyUseFdpass": "yes"}


def _quoted(name: str, value: str) -> str:
    """ssh takes a proxy command as the rest of the line, and other values with blanks in double quotes."""
    return f'"{value}"' if " " in value and name != "ProxyCommand" else value
