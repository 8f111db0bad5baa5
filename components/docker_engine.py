"""dockerd on a machine: installed, configured for the cluster store, answering."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pulumi
import pulumi_docker as docker
from pydantic import BaseModel, ConfigDict

from components._base import Args, Component, Public
from components.config import conventions, docker_names, roles
from components.config.fields import Address, Mtu, Pattern, Port, Url
from components.config.platform import Packages
from components.config.section import Violation
from components.config.spec import EngineSpec
from components.node import firewall, port_probe, scripts, store_client, watchdog
from components.node_host import NodeHost

BUNDLE = "/var/lib/overlab-packages.tar"
CONFIG_DIR = "/etc/docker"
MANIFEST = "/etc/overlab/engine.sha256"
"""Checksums of what the last update put on the node."""
PENDING = "/run/overlab-engine-pending"
_ENDPOINT = "[A-Za-z0-9.-]+:[0-9]{1,5}"
ClusterStore = Annotated[
    str,
    Pattern(
        re.compile(rf"consul://{_ENDPOINT}|etcd://{_ENDPOINT}(,{_ENDPOINT})*"),
        "consul://HOST:PORT, of which libkv takes exactly one, or etcd://HOST:PORT,...",
    ),
]


class ServerTls(BaseModel):
    """Certificate files of an engine's TLS listener, PEM."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca: Path
    cert: Path
    key: Path


class DockerEngineArgs(Args, EngineSpec):
    """An engine. ``firewall`` lets in from the underlay SSH and the TLS API, and from ``peers`` what overlays need."""

    machine: Public[NodeHost]
    cluster_store: Public[ClusterStore]
    """The engine starts without it, and finds it within a heartbeat."""
    mtu: Public[Mtu] = conventions.DEFAULT_MTU
    """Of the bridges between its containers and the underlay."""
    registry_mirror: Public[Url | None] = None
    packages: Packages | None = None
    """What ``install: packages`` installs."""
    tls: ServerTls | None = None
    """Required where ``api`` is ``tls``."""
    peers: tuple[Address, ...] = ()
    store_ports: Public[tuple[tuple[Literal["tcp", "udp"], Port], ...]] = ()
    """Ports on which peers reach the store here."""
    control_ports: Public[tuple[Port, ...]] = conventions.NODE_PORTS
    """Ports of all nodes that no workload may reach."""

    def violations(self) -> Iterator[Violation]:
        yield from super().violations()
        if self.api == "tls" and self.tls is None:
            remedy = "state the files; 'overlab up' makes those of a lab"
            yield Violation(("tls",), None, "certificates where api is tls", remedy)

    def inputs(self) -> dict[str, Any]:
        """Beside what is stated what follows from it, and policies ask for."""
        address = str(self.machine.node_address)
        derived = {"address": address, "listeners": listeners(self, address), "tls_verify": self.api == "tls"}
        return super().inputs() | derived | {"cluster_advertise": cluster_advertise(self.machine.interface)}


class DockerEngine(Component[DockerEngineArgs]):
    """An engine of the wanted version with the lab's daemon.json, and the provider for what runs on it."""

    TOKEN = "overlab:index:DockerEngine"
    facts: pulumi.Output[dict[str, str]]

    def __init__(self, name: str, args: DockerEngineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.machine = args.machine
        self.node = args.machine.name
        self.host = args.machine.host
        self.advertised = docker_names.advertised(args.machine.node_address)
        """The engine's name in the store."""
        script = scripts.render("engine", **self._values())
        self.configuration = scripts.digest(script)
        """Of all that the engine is started with (certificates too): where it differs, the engine was restarted."""
        packages = [] if args.install != "packages" or args.packages is None else [self._declare_bundle(args.packages)]
        self.configured = self.host.run(
            roles.resource_name(self.node, roles.ENGINE),
            pulumi.Output.secret(script) if args.api == "tls" else script,
            self.child_options(depends_on=packages),
            limit_s=conventions.ENGINE_LIMIT_S,
        )
        self.facts = self.configured.stdout.apply(json.loads)
        after = self.child_options(depends_on=[self.configured])
        self.provider: docker.Provider = self.host.docker_provider(
            roles.resource_name(self.node, roles.ENGINE_PROVIDER), after
        )
        self.register_outputs({"facts": self.facts})

    @property
    def placement(self) -> dict[str, pulumi.Resource]:
        """Options of what the engine creates: through its provider, and gone with its machine."""
        return {"provider": self.provider, "deleted_with": self.machine.instance}

    def _declare_bundle(self, packages: Packages) -> pulumi.Resource:
        return self.host.put(
            f"{self.node}-packages",
            pulumi.FileAsset(packages.bundle),
            BUNDLE,
            self.child_options(),
            triggers=[packages.content_hash],
            limit_s=conventions.ENGINE_LIMIT_S,
        )

    def _values(self) -> dict[str, Any]:
        return {
            "version": self.args.version,
            "install": self.args.install,
            "bundle": BUNDLE,
            "pending": PENDING,
            "limit_s": conventions.ENGINE_LIMIT_S // 2,
            "files": self._files(),
            "manifest": MANIFEST,
            "advertise": self.advertised,
            "store": self.args.cluster_store,
            "nic": self.machine.interface,
            "gwbridge": conventions.GWBRIDGE,
            "gwbridge_mtu": self.args.mtu if self.args.mtu != conventions.DEFAULT_MTU else "",
            "firewall": self.args.firewall,
            "firewall_unit": firewall.UNIT,
            "firewall_script": firewall.SCRIPT,
            "watchdog_unit": watchdog.PATH_UNIT,
        }

    def _files(self) -> list[dict[str, str]]:
        args, machine, units = self.args, self.machine, "/etc/systemd/system"
        config = daemon_json(
            args,
            args.cluster_store,
            args.registry_mirror,
            interface=machine.interface,
            cgroup_parent=machine.cgroup_parent,
            mtu=args.mtu,
        )
        kind, _, endpoints = args.cluster_store.partition("://")
        client = store_client.script(kind, endpoints.split(","))
        files = [
            _file(f"{CONFIG_DIR}/daemon.json", "engine", json.dumps(config, indent=2, sort_keys=True) + "\n"),
            _file(f"{units}/docker.service.d/overlab.conf", "engine", drop_in(args, str(machine.node_address))),
            _file(watchdog.SCRIPT, "watchdog", watchdog.script(machine.node_address), mode="0755"),
            _file(f"{units}/{watchdog.SERVICE}", "watchdog", watchdog.service()),
            _file(f"{units}/{watchdog.PATH_UNIT}", "watchdog", watchdog.path_unit()),
            _file(port_probe.SCRIPT, "probe", port_probe.script(), mode="0755"),
            _file(store_client.SCRIPT, "store", client, mode="0755"),
        ]
        if args.firewall:
            tls = args.api == "tls"
            rules = firewall.rules(
                machine.underlay,
                machine.interface,
                args.peers,
                engine_api=tls,
                store_ports=args.store_ports,
                control_ports=args.control_ports,
            )
            files += [
                _file(firewall.RULES_FILE, "firewall", rules),
                _file(firewall.RULES6_FILE, "firewall", firewall.rules6()),
                _file(firewall.SCRIPT, "firewall", firewall.script(), mode="0755"),
                _file(f"{units}/{firewall.UNIT}", "firewall", firewall.unit()),
            ]
        if args.api == "tls" and args.tls is not None:
            for name, path in args.tls:
                mode = "0600" if name == "key" else "0644"
                files.append(_file(f"{CONFIG_DIR}/{name}.pem", "engine", path.read_text("utf-8"), mode=mode))
        return files


def _file(path: str, part: str, content: str, *, mode: str = "0644") -> dict[str, str]:
    return {"path": path, "part": part, "content": content, "mode": mode}


def cluster_advertise(interface: str) -> str:
    """The same on every node of a lab: the address is stated by interface name."""
    return f"{interface}:{conventions.ENGINE_PORT}"


def listeners(engine: EngineSpec, address: str) -> list[str]:
    """What dockerd listens on."""
    return ["fd://", *([f"tcp://{address}:{conventions.ENGINE_PORT}"] if engine.api == "tls" else [])]


def daemon_json(
    engine: EngineSpec,
    cluster_store: str,
    registry_mirror: str | None,
    *,
    interface: str = conventions.NIC,
    cgroup_parent: str | None = None,
    mtu: int = conventions.DEFAULT_MTU,
) -> dict[str, Any]:
    """dockerd's configuration file, the same on every machine of a lab with one cluster store."""
    config: dict[str, Any] = {
        "cluster-store": cluster_store,
        "cluster-advertise": cluster_advertise(interface),
        "cluster-store-opts": {
            "discovery.heartbeat": str(engine.heartbeat_s),
            "discovery.ttl": str(engine.ttl_s),
        },
        "live-restore": engine.live_restore,
        "default-address-pools": [{"base": str(pool.base), "size": pool.size} for pool in engine.address_pools],
        "userland-proxy": False,
        "no-new-privileges": engine.no_new_privileges,
        # Of docker0 only: networks decide for themselves, and docker_gwbridge has it off in any case.
        "icc": engine.icc,
        "log-driver": "json-file",
        "log-opts": conventions.CONTAINER_LOG,
        "default-ulimits": {
            "nofile": {"Name": "nofile", "Soft": conventions.OPEN_FILES, "Hard": conventions.OPEN_FILES}
        },
    }
    if mtu != conventions.DEFAULT_MTU:
        # Of docker0; docker_gwbridge and overlays have their own.
        config["mtu"] = mtu
    if cgroup_parent is not None:
        config["cgroup-parent"] = cgroup_parent
    if registry_mirror is not None:
        config["registry-mirrors"] = [registry_mirror]
    if engine.api == "tls":
        config |= {"tlsverify": True, "tlscacert": f"{CONFIG_DIR}/ca.pem"}
        config |= {"tlscert": f"{CONFIG_DIR}/cert.pem", "tlskey": f"{CONFIG_DIR}/key.pem"}
    return config


def drop_in(engine: EngineSpec, address: str) -> str:
    """Listeners are flags, since the unit's own ``-H fd://`` forbids ``hosts`` in daemon.json."""
    flags = " ".join(f"-H {listener}" for listener in listeners(engine, address))
    requires = [f"Requires={firewall.UNIT}", f"After={firewall.UNIT}"] if engine.firewall else []
    reload = [f"ExecStartPost={firewall.SCRIPT} start"] if engine.firewall else []
    return "\n".join(
        [
            "[Unit]",
            *requires,
            # The watchdog may have to restart it often; a limit would leave it stopped.
            "StartLimitIntervalSec=0",
            "[Service]",
            f"ExecStartPre=-{watchdog.SCRIPT} rename-veths",
            f"ExecStartPre=-{watchdog.SCRIPT} drop-endpoints",
            "ExecStart=",
            f"ExecStart=/usr/bin/env dockerd {flags}",
            *reload,
            # Without the store an engine may need two minutes to start.
            "TimeoutStartSec=0",
            "",
        ]
    )
