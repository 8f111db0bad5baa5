"""The program on every node that tells which ports can be reached, from whichever network it is run in. Pure."""

from __future__ import annotations

from components.node import scripts

SCRIPT = "/usr/local/sbin/overlab-port-probe"


def script() -> str:
    """The program; its own text describes it."""
    return (scripts.TEMPLATES / "port_probe.py").read_text("utf-8")
