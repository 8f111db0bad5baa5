"""The lab's machines as libvirt has them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from components.config.platform import Platform
from components.config.settings import Settings

LIMIT_S = 20.0

RUNNING = "running"
UNSEEN = "unseen"
"""The hypervisor did not say."""

_STATES = ("no state", RUNNING, "blocked", "paused", "shutting down", "shut off", "crashed", "suspended")


def states(settings: Settings, platform: Platform, limit_s: float = LIMIT_S) -> dict[str, str]:
    """Node -> libvirt's word for its machine's state, ``missing``, or ``unseen`` and why. Raises nothing."""
    asked = {
        name: _Asked(place.uri, [key for key, node in settings.nodes.items() if node.hypervisor == name])
        for name, place in platform.places.items()
    }
    # libvirt has no limit of its own on a call: a libvirtd that hangs is left alone with its thread.
    threads = {
        name: threading.Thread(target=_ask, args=(settings.name, one), daemon=True) for name, one in asked.items()
    }
    for thread in threads.values():
        thread.start()
    until = time.monotonic() + limit_s
    found: dict[str, str] = {}
    for name, thread in threads.items():
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            asked[name].errors.append(f"libvirt at {asked[name].uri} did not answer within {limit_s:g} s")
        found |= asked[name].answers()
    return {key: found.get(key, UNSEEN) for key in settings.nodes}


@dataclass
class _Asked:
    """A hypervisor, the nodes that are on it, and what it says of them."""

    uri: str
    nodes: list[str]
    found: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def answers(self) -> dict[str, str]:
        why = f"{UNSEEN}: {self.errors[0]}" if self.errors else UNSEEN
        return {key: self.found.get(key, why) for key in self.nodes}


def _ask(lab: str, asked: _Asked) -> None:
    import libvirt

    libvirt.registerErrorHandler(_silent, None)
    try:
        connection = libvirt.openReadOnly(asked.uri)
        try:
            named = {domain.name(): domain for domain in connection.listAllDomains()}
            for key in asked.nodes:
                domain = named.get(f"overlab-{lab}-{key}")
                asked.found[key] = "missing" if domain is None else _STATES[domain.state()[0]]
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        asked.errors.append(str(error))


def _silent(_context: Any, _error: Any) -> None:
    """libvirt would write to standard error."""
