"""OpenSSH from outside the lab's network namespace: the same keys, and a ProxyCommand where the platform is bundled."""

from __future__ import annotations

import shlex
import sys
from importlib.resources import files
from pathlib import Path

from components.config import conventions
from components.config.platform import Platform
from components.config.settings import Settings
from overlab import openssh
from overlab.core.files import write_private
from overlab.core.paths import LabPaths
from overlab.platform.namespace import Namespace


def options(settings: Settings, platform: Platform) -> dict[str, str]:
    """OpenSSH's options for every node, from wherever ssh runs on this machine."""
    return openssh.options(platform) | _proxy_command(settings, platform)


def render(settings: Settings, platform: Platform) -> str:
    """An ``ssh_config`` with every node by its key and by its address."""
    shared = options(settings, platform)
    lines = [f"# the nodes of lab {settings.name}: save it and use ssh -F FILE {next(iter(settings.nodes))}"]
    for key, node in settings.nodes.items():
        own = {"HostName": str(node.address), "Port": str(conventions.SSH_PORT), "User": "root"}
        lines.append(f"Host {key} {node.address}")
        lines += [f"    {name} {_quoted(name, value)}" for name, value in (own | shared).items()]
    return "\n".join(lines) + "\n"


def write(settings: Settings, platform: Platform) -> Path:
    """Write it into the run directory of the lab, followed by the caller's own configuration; returns its path.

    A file, because ssh closes every other descriptor before it reads its configuration: ``-F <(...)`` cannot work.
    """
    file = LabPaths(settings.name).run / "ssh" / "config"
    # With -F ssh reads neither of its default files: they are included, for hosts outside the lab.
    text = render(settings, platform) + "Host *\nInclude ~/.ssh/config\nInclude /etc/ssh/ssh_config\n"
    write_private(file, text.encode())
    return file


def _proxy_command(settings: Settings, platform: Platform) -> dict[str, str]:
    """The nodes of a bundled platform are reached only from inside its network namespace."""
    if platform.kind != "bundled":
        return {}
    script = files("overlab.inspect") / "proxy_command.py"
    namespace = Namespace.of(LabPaths(settings.name))
    # Isolated (-I): what the helper imports depends neither on the caller's directory nor on its environment.
    words = namespace.command([sys.executable, "-I", str(script)])
    return {"ProxyCommand": f"{shlex.join(words)} %h %p", "ProxyUseFdpass": "yes"}


def _quoted(name: str, value: str) -> str:
    """ssh takes a proxy command as the rest of the line, and other values with blanks in double quotes."""
    return f'"{value}"' if " " in value and name != "ProxyCommand" else value
