"""The command line ``overlab``: thin calls into the packages that do the work."""

from __future__ import annotations

from overlab.cli import cache, checks, config, inspect, lifecycle, maintenance, troubleshoot
from overlab.cli.application import app, main

for _module in (lifecycle, inspect, troubleshoot, checks, config, cache, maintenance):
    app.add_typer(_module.commands)

__all__ = ["app", "main"]
