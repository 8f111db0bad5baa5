"""What only the running lab knows and checks need: addresses, ports, network ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Facts:
    """Plain data, as the stack's outputs have it."""

    addresses: Mapping[str, Mapping[str, str]]
    """Workload -> overlay -> address."""
    ports: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Workload -> ``80/tcp`` -> port of its node."""
    networks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Overlay -> ``id``, ``subnet``."""
