"""dockerd on a node: installed, configured for the cluster store, answering."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_docker as docker

from components._base import Component
from components.config import conventions
from components.config.docker_names import advertised, store_address, store_url
from components.config.platform import Packages, Platform, Tls
from components.config.settings import Node, Settings
from components.machine import Machine
from components.node import firewall, scripts, watchdog

BUNDLE = "/var/lib/overlab-packages.tar"
CONFIG_DIR = "/etc/docker"
PENDING = "/run/overlab-engine-pending"


class DockerEngine(Component):
    """An engine of the wanted version with the lab's daemon.json, and the provider for what runs on it."""

    TOKEN = "overlab:index:DockerEngine"
    facts: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        machine: Machine,
        settings: Settings,
        platform: Platform,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        key = machine.node.key
        super().__init__(f"{key}-engine", opts)
        self.machine = machine
        self.host = machine.host
        script = scripts.render("engine", **_values(machine.node, settings, platform))
        self.configuration = scripts.digest(script)
        """Of all that the engine is started with (certificates too): where it differs, the engine was restarted."""
        waits_for: list[pulumi.Resource] = [machine.reachable]
        if settings.engine.install == "packages" and platform.packages is not None:
            waits_for.append(self._declare_bundle(platform.packages))
        self.configured = self.host.run(
            f"{key}-dockerd",
            script,
            self.child(depends_on=waits_for),
            stdin=_server_key(machine.node, settings, platform),
            limit_s=conventions.ENGINE_LIMIT_S,
        )
        self.facts = self.configured.stdout.apply(json.loads)
        after = self.child(depends_on=[self.configured])
        self.provider: docker.Provider = self.host.docker_provider(f"{key}-docker", after)
        self.register_outputs({"facts": self.facts})

    def _declare_bundle(self, packages: Packages) -> pulumi.Resource:
        return self.host.put(
            f"{self.machine.node.key}-packages",
            pulumi.FileAsset(packages.bundle),
            BUNDLE,
            self.child(depends_on=[self.machine.reachable]),
            triggers=[packages.content_hash],
            limit_s=conventions.ENGINE_LIMIT_S,
        )


def _values(node: Node, settings: Settings, platform: Platform) -> dict[str, Any]:
    return {
        "version": settings.engine.version,
        "install": settings.engine.install,
        "bundle": BUNDLE,
        "pending": PENDING,
        "limit_s": conventions.ENGINE_LIMIT_S // 2,
        "files": _files(node, settings, platform),
        "key_path": f"{CONFIG_DIR}/key.pem" if settings.engine.api == "tls" else "",
        "advertise": advertised(node),
        "store": store_url(settings),
        "nic": conventions.NIC,
        "firewall": settings.engine.firewall,
        "firewall_unit": firewall.UNIT,
        "guard_unit": watchdog.PATH_UNIT,
    }


def _files(node: Node, settings: Settings, platform: Platform) -> list[dict[str, str]]:
    daemon = json.dumps(daemon_json(settings, platform), indent=2, sort_keys=True) + "\n"
    files = [
        _file(f"{CONFIG_DIR}/daemon.json", "engine", daemon),
        _file("/etc/systemd/system/docker.service.d/overlab.conf", "engine", drop_in(node, settings)),
    ]
    guard = watchdog.script(store_address(settings), str(node.address))
    files += [
        _file(watchdog.SCRIPT, "guard", guard, mode="0755"),
        _file(f"/etc/systemd/system/{watchdog.SERVICE}", "guard", watchdog.service()),
        _file(f"/etc/systemd/system/{watchdog.PATH_UNIT}", "guard", watchdog.path_unit()),
    ]
    if settings.engine.firewall:
        files.append(_file(firewall.RULES_FILE, "firewall", firewall.rules(node, settings)))
        files.append(_file(f"/etc/systemd/system/{firewall.UNIT}", "firewall", firewall.unit()))
    if settings.engine.api == "tls":
        tls = _tls(platform)
        files.append(_file(f"{CONFIG_DIR}/ca.pem", "engine", tls.ca.read_text("utf-8")))
        files.append(_file(f"{CONFIG_DIR}/cert.pem", "engine", tls.server_certs[node.key].read_text("utf-8")))
    return files


def _tls(platform: Platform) -> Tls:
    if platform.identity.tls is None:
        raise pulumi.RunError("lab.engine.api is tls, and the platform record has no certificates: run 'overlab up'")
    return platform.identity.tls


def _server_key(node: Node, settings: Settings, platform: Platform) -> pulumi.Output[str] | None:
    if settings.engine.api != "tls":
        return None
    return pulumi.Output.secret(_tls(platform).server_keys[node.key].read_text("utf-8").rstrip("\n"))


def _file(path: str, part: str, content: str, *, mode: str = "0644") -> dict[str, str]:
    return {"path": path, "part": part, "content": content, "mode": mode}


def daemon_json(settings: Settings, platform: Platform) -> dict[str, Any]:
    """The same on every node: the advertised address is stated by interface name."""
    engine = settings.engine
    config: dict[str, Any] = {
        "cluster-store": store_url(settings),
        "cluster-advertise": f"{conventions.NIC}:{conventions.ENGINE_PORT}",
        "cluster-store-opts": {
            "discovery.heartbeat": str(engine.heartbeat_s),
            "discovery.ttl": str(engine.ttl_s),
        },
        "live-restore": engine.live_restore,
        "default-address-pools": [{"base": str(pool.base), "size": pool.size} for pool in engine.address_pools],
        "userland-proxy": False,
    }
    if platform.registry_mirror is not None:
        config["registry-mirrors"] = [platform.registry_mirror]
    if engine.api == "tls":
        config |= {"tlsverify": True, "tlscacert": f"{CONFIG_DIR}/ca.pem"}
        config |= {"tlscert": f"{CONFIG_DIR}/cert.pem", "tlskey": f"{CONFIG_DIR}/key.pem"}
    return config


def drop_in(node: Node, settings: Settings) -> str:
    """Listeners are flags, since the unit's own ``-H fd://`` forbids ``hosts`` in daemon.json."""
    listeners = ["-H", "fd://"]
    if settings.engine.api == "tls":
        listeners += ["-H", f"tcp://{advertised(node)}"]
    return "\n".join(
        [
            "[Service]",
            f"ExecStartPre=-{watchdog.SCRIPT} renumber",
            "ExecStart=",
            f"ExecStart=/usr/bin/env dockerd {' '.join(listeners)}",
            # Without the store an engine may need two minutes to start.
            "TimeoutStartSec=0",
            "",
        ]
    )
