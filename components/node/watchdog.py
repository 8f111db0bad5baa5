"""The watchdog on every node against faults of dockerd with overlays. Pure; which and why is in its script."""

from __future__ import annotations

from ipaddress import IPv4Address

from components.node import scripts, store_client

SCRIPT = "/usr/local/sbin/dockerd-watchdog"
SERVICE = "overlab-dockerd-watchdog.service"
PATH_UNIT = "overlab-dockerd-watchdog.path"
QUIET_S = 3
"""Seconds without a client of the engine's API before it is restarted."""
LIMIT_S = 1800
PAUSE_S = 15
"""Seconds after its first restart in which it is not restarted again; twice as many with each restart."""
PAUSE_LIMIT_S = 120


def script(address: IPv4Address) -> str:
    """``address`` is the node's own."""
    return scripts.render(
        "dockerd-watchdog",
        store=store_client.SCRIPT,
        own=address,
        quiet_s=QUIET_S,
        limit_s=LIMIT_S,
        pause_s=PAUSE_S,
        pause_limit_s=PAUSE_LIMIT_S,
    )


def service() -> str:
    """Repairs when a namespace of the engine was created or removed."""
    return scripts.render_text(SERVICE, script=SCRIPT)


def path_unit() -> str:
    """Watches where the engine keeps its namespaces."""
    return scripts.render_text(PATH_UNIT, service=SERVICE)
