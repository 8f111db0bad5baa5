"""An object of the lab outside of its nodes: on a hypervisor, or on the engine that runs nodes as containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["domain", "network", "pool", "volume", "container"]
Standing = Literal["known", "stopped", "unknown", "in use", "foreign"]

REMOVAL_ORDER: tuple[Kind, ...] = ("container", "domain", "network", "volume", "pool")


@dataclass(frozen=True)
class LabObject:
    """An object as it was found; ``name`` and ``key`` are libvirt's or Docker's own."""

    kind: Kind
    name: str
    key: str
    host: str
    """URI of the hypervisor, or ``DOCKER_HOST`` of the engine."""
    standing: Standing
    """``known``: in the state. ``stopped``: in the state, and does not run. ``unknown``: provably of this lab, and not
    in the state. ``in use``: the same, and something in the state needs it. ``foreign``: it has a name of this lab, is
    not in the state, and may be another lab's."""
    remedy: str = ""
    """Command that removes it."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name} on {self.host}"


def lab_prefix(lab: str) -> str:
    """Name of the lab's network and pool; names of its nodes' objects begin with it and a hyphen."""
    return f"overlab-{lab}"
