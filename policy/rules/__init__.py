"""All rules, in the order in which they are shown.

Imports are relative: the pack runs as a separate program, in which this package is called ``rules``.
"""

from __future__ import annotations

from typing import Final

from . import (
    commands,
    containers,
    dependencies,
    domains,
    engines,
    images,
    names,
    ports,
    secrets,
    store,
    subnets,
)
from .rule import Rule

ALL: Final[tuple[Rule, ...]] = (
    *images.RULES,
    *containers.RULES,
    *ports.RULES,
    *subnets.RULES,
    *engines.RULES,
    *store.RULES,
    *commands.RULES,
    *secrets.RULES,
    *domains.RULES,
    *dependencies.RULES,
    *names.RULES,
)
