"""The guard on every node against faults of the engine with overlays. Pure; which and why: the script says it."""

from __future__ import annotations

from components.node import scripts

SCRIPT = "/usr/local/sbin/dockerd-watchdog"
SERVICE = "overlab-dockerd-watchdog.service"
PATH_UNIT = "overlab-dockerd-watchdog.path"
QUIET_S = 3
"""Seconds without a client of the engine's API before it is restarted."""
LIMIT_S = 1800


def script(store: str, address: str) -> str:
    """``dockerd-watchdog look`` reports, ``heal [idle]`` repairs (idle: when no client is connected), ``renumber``
    prevents; ``peers`` adds the FDB and neighbor entries of other nodes' containers that the engine lacks.

    ``store`` is HOST:PORT of the store as seen from the node, ``address`` the node's own.
    """
    return scripts.render("dockerd-watchdog", consul=f"http://{store}", own=address, quiet_s=QUIET_S, limit_s=LIMIT_S)


def service() -> str:
    """Runs when a namespace of the engine came or went."""
    return "\n".join(
        [
            "[Unit]",
            "Description=Restart an engine that was left with a thread in a dead namespace",
            "",
            "[Service]",
            "Type=oneshot",
            f"ExecStart={SCRIPT} heal idle",
            "",
        ]
    )


def path_unit() -> str:
    """Watches where the engine keeps its namespaces: nothing runs while nothing happens."""
    return "\n".join(
        [
            "[Unit]",
            "Description=Watch the engine's namespaces",
            "",
            "[Path]",
            "PathChanged=/run/docker/netns",
            f"Unit={SERVICE}",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )
