"""The program on every node that asks the lab's cluster store, whichever it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from components.config.stores import BACKENDS

SCRIPT = "/usr/local/sbin/overlab-store"
OF_THE_ENGINE = "OVERLAB-STORE"
"""In place of an endpoint, where the endpoints are those that a node's engine has."""
_CLIENTS = Path(__file__).parent / "store_clients"
_FUTURE = "from __future__ import annotations\n"


def script(kind: str, endpoints: Iterable[str]) -> str:
    """The program: the client of one kind of store, then the commands that are the same for all.

    ``endpoints`` are HOST:PORT.
    """
    client, commands = ((_CLIENTS / f"{name}.py").read_text("utf-8") for name in (kind, "commands"))
    body = client.replace(_FUTURE, "") + f"\n\nENDPOINTS = {tuple(endpoints)!r}\n\n" + commands.replace(_FUTURE, "")
    return f"#!/usr/bin/python3 -IS\n{_FUTURE}\n{body}"


def scripts_for_engines() -> dict[str, str]:
    """By kind of store, the program for a node that has none; its endpoints are :data:`OF_THE_ENGINE`."""
    return {kind: script(kind, [OF_THE_ENGINE]) for kind in BACKENDS}
