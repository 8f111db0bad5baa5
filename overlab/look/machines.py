"""The lab's machines as libvirt has them."""

from __future__ import annotations

import threading
from typing import Any

from components.ground import Ground
from components.settings import Settings

LIMIT_S = 20.0

RUNNING = "running"
UNSEEN = "unseen"
"""The hypervisor did not say."""

_STATES = ("no state", RUNNING, "blocked", "paused", "shutting down", "shut off", "crashed", "suspended")


def states(settings: Settings, ground: Ground, limit_s: float = LIMIT_S) -> dict[str, str]:
    """Node -> libvirt's word for its machine's state, ``missing``, or ``unseen`` and why. Raises nothing."""
    found: dict[str, str] = {}
    errors: list[str] = []
    # libvirt has no limit of its own on a call: a libvirtd that hangs is left alone with its thread.
    thread = threading.Thread(target=_ask, args=(settings, ground.hypervisor.uri, found, errors), daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        errors.append(f"libvirt at {ground.hypervisor.uri} did not answer within {limit_s:g} s")
    why = f"{UNSEEN}: {errors[0]}" if errors else UNSEEN
    return {key: found.get(key, why) for key in settings.nodes}


def _ask(settings: Settings, uri: str, found: dict[str, str], errors: list[str]) -> None:
    import libvirt

    libvirt.registerErrorHandler(_silent, None)
    try:
        connection = libvirt.openReadOnly(uri)
        try:
            named = {domain.name(): domain for domain in connection.listAllDomains()}
            for key in settings.nodes:
                domain = named.get(f"overlab-{settings.name}-{key}")
                found[key] = "missing" if domain is None else _STATES[domain.state()[0]]
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        errors.append(str(error))


def _silent(_context: Any, _error: Any) -> None:
    """libvirt would write to standard error."""
