"""What the machine's own Docker says of itself, and whether it can run nodes as containers.

``python3 -m overlab.platform.docker_info`` prints its ``DOCKER_HOST`` where ``make try`` is to use it. It runs before
anything is installed: this module and what it imports need Python's standard library alone.
"""

from __future__ import annotations

import getpass
import http.client
import json
import os
import socket
import sys
from typing import Any

from overlab.core.errors import OverlabError

HOST = "unix:///var/run/docker.sock"
"""Docker's default."""
_LIMIT_S = 10.0
PROCESSOR = "x86_64"
_OLDEST = (20, 10)
_ELSEWHERE = "name Docker Engine's socket on a Linux machine or in a Linux VM (overlab:lab platform.docker_host)"


def usable(host: str = HOST) -> dict[str, Any]:
    """The engine's answer to ``/info``. Raises :class:`OverlabError` where it does not answer or cannot run nodes."""
    info = _info(host)
    if refusal := _refusal(info):
        raise OverlabError(f"the Docker at {host} cannot run nodes: {refusal}", _ELSEWHERE)
    return info


def _refusal(info: dict[str, Any]) -> str | None:
    """Why nodes cannot run there, or be reached from here."""
    system = str(info.get("OperatingSystem", ""))
    if "Docker Desktop" in system:
        return "it is Docker Desktop, in whose virtual machine no address of a node can be reached from here"
    if any("name=rootless" in option for option in info.get("SecurityOptions") or ()):
        return "it is rootless, and an engine inside of it may not create network namespaces and VXLANs"
    if (info.get("OSType"), info.get("Architecture")) != ("linux", PROCESSOR):
        return f"it runs on {info.get('OSType')}, {info.get('Architecture')}; nodes need Linux on {PROCESSOR}"
    version = str(info.get("ServerVersion", ""))
    if _numbers(version) < _OLDEST:
        return f"it is Docker {version}; nodes need {'.'.join(map(str, _OLDEST))} or newer"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts if part.isdecimal())


def _info(host: str) -> dict[str, Any]:
    path = host.removeprefix("unix://")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_LIMIT_S)
            connection.connect(path)
            connection.sendall(b"GET /info HTTP/1.0\r\nHost: docker\r\n\r\n")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            found = json.loads(answer.read())
    except PermissionError as error:
        user = getpass.getuser()
        remedy = f"sudo usermod -aG docker {user}; then log in again"
        raise OverlabError(f"the user {user} may not use the Docker at {host}", remedy) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OverlabError(f"no Docker answers at {host}: {reason}", "start it, or install Docker Engine") from error
    if not isinstance(found, dict):
        raise OverlabError(f"no Docker answers at {host}", "name the socket of a Docker engine")
    return found


def choice() -> str | None:
    """The host of the default engine, on which ``make try`` runs nodes; None where root is to have a private one.

    Raises :class:`OverlabError` for another user, with what is wrong with the default engine.
    """
    try:
        usable()
    except OverlabError:
        if os.geteuid() == 0:
            return None
        raise
    return HOST


def main() -> int:
    """Print :func:`choice`."""
    try:
        print(choice() or "")
    except OverlabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
