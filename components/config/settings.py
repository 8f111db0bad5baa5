"""The lab's settings: the only reader of the stack's configuration and of the platform record.

Settings are frozen. Every problem is reported at once, before anything is created.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from components.config import addressing, compose, conventions, derived, draft, rules, stack_file
from components.config.platform import RECORD_ENV, Platform
from components.config.problems import Problem as Problem
from components.config.problems import SettingsError as SettingsError
from components.config.spec import (
    CheckSpec,
    EngineSpec,
    MachineSpec,
    NetworkSpec,
    PlatformSpec,
    StoreSpec,
    UnderlaySpec,
    WorkloadSpec,
)
from components.config.stack_file import KEY
from components.config.stack_file import PROJECT as PROJECT


@dataclass(frozen=True)
class Node:
    """A node with everything that follows from its key."""

    key: str
    """Also its host name."""
    address: IPv4Address
    mac: str
    machine: MachineSpec
    hypervisor: str = ""
    """Name of the hypervisor that runs its machine; empty where the lab's only hypervisor has no name."""


@dataclass(frozen=True)
class Settings:
    """A valid lab."""

    stack: str
    name: str
    underlay: UnderlaySpec
    machine_kind: Literal["vm", "container"]
    """What every node is."""
    nodes: dict[str, Node]
    engine: EngineSpec
    store: StoreSpec
    store_nodes: tuple[str, ...]
    """The nodes that run a store server."""
    networks: dict[str, NetworkSpec]
    workloads: dict[str, WorkloadSpec]
    placement: dict[str, str]
    """Workload -> node."""
    checks: dict[str, CheckSpec]
    platform: PlatformSpec
    secret_environment: bool = False
    """Whether the configuration holds secrets: then every value of an ``environment`` must be handled as one."""

    @property
    def gateway(self) -> IPv4Address:
        """The hypervisor's address in the underlay."""
        return addressing.gateway(self.underlay.cidr)

    def isolated(self, platform: Platform) -> bool:
        """Whether the underlay has no egress: by choice, or because the platform has none."""
        mode = self.underlay.mode
        return mode == "isolated" or (mode == "auto" and platform.kind == "bundled")

    @property
    def hypervisors(self) -> tuple[str, ...]:
        """Names of the hypervisors that nodes are placed on; empty text for one without a name."""
        if self.machine_kind == "container":
            return ()
        return tuple(dict.fromkeys(node.hypervisor for node in self.nodes.values()))

    @property
    def store_addresses(self) -> tuple[IPv4Address, ...]:
        """Of the nodes with a store server."""
        return tuple(self.nodes[key].address for key in self.store_nodes)

    @property
    def cluster_store(self) -> str:
        """URL of the store, as the engines are configured with it."""
        return self.store.backend.url(self.store_addresses)

    @property
    def control_ports(self) -> tuple[int, ...]:
        """Of the nodes: no workload may reach them."""
        return (*conventions.NODE_PORTS, *self.store.backend.control_ports)

    def underlay_mtu(self, network: str) -> int:
        """Size in bytes of the largest packet of a network on the underlay."""
        return self.networks[network].mtu or self.underlay.mtu

    def mtu(self, network: str) -> int:
        """Size in bytes of the largest packet of a workload on a network."""
        return self.underlay_mtu(network) - self.networks[network].kind.overhead

    @property
    def global_networks(self) -> tuple[str, ...]:
        """Networks that every engine sees by way of the store."""
        return tuple(name for name, spec in self.networks.items() if not spec.kind.per_node)

    def node_range(self, network: str, node: str) -> IPv4Network:
        """The range from which the node's engine picks addresses of a network of its own."""
        spec, number = self.networks[network], addressing.node_number(node)
        assert spec.subnet is not None and number  # noqa: PT018
        found = addressing.node_range(spec.subnet, spec.range_prefix, number)
        assert found is not None
        return found

    def finds(self, workload: str, target: str, network: str) -> bool:
        """Whether a workload finds another one by name on a network that both are on."""
        if self.placement[workload] == self.placement[target] or target in self.stated_hosts(workload, network):
            return True
        common = self.workloads[workload].networks.keys() & self.workloads[target].networks.keys()
        return any(self.networks[name].kind.names for name in common)

    def stated_hosts(self, workload: str, network: str) -> dict[str, IPv4Address]:
        """Names on other nodes that no resolver knows, and so ``extra_hosts`` has: those with a stated address."""
        if self.networks[network].kind.names or network not in self.workloads[workload].networks:
            return {}
        return {
            name: attachment.ipv4_address
            for other, spec in self.workloads.items()
            if self.placement[other] != self.placement[workload]
            and (attachment := spec.networks.get(network))
            and attachment.ipv4_address
            for name in (other, *attachment.aliases)
        }


def parse(raw: object, stack: str, *, secret: bool = False) -> Settings:
    """Settings from ``raw``, the value of ``overlab:lab``. Raises :class:`SettingsError` with every problem.

    ``secret``: the configuration holds secrets, in plain text here. No problem then shows a value.
    """
    lab = draft.read(raw, stack, secret=secret)
    rules.check(lab)
    if lab.problems:
        raise SettingsError(stack, lab.problems)
    assert lab.name is not None and lab.underlay and lab.machine  # noqa: PT018
    assert lab.engine and lab.store and lab.platform  # noqa: PT018
    nodes = {}
    for key, spec, address in derived.node_addresses(lab):
        assert address is not None
        machine, hypervisor = spec.machine or lab.machine, derived.hypervisor_of(lab, spec)
        nodes[key] = Node(key, address, addressing.mac(address), machine, hypervisor)
    variables = (value for workload in lab.workloads.values() for value in workload.environment.values())
    return Settings(
        stack=stack,
        name=lab.name,
        underlay=lab.underlay,
        machine_kind=lab.machine.kind,
        nodes=nodes,
        engine=lab.engine,
        store=lab.store,
        store_nodes=derived.store_nodes(lab),
        networks=lab.networks,
        workloads=lab.workloads,
        placement={key: derived.node_of(lab, workload) or "" for key, workload in lab.workloads.items()},
        checks=lab.checks,
        platform=lab.platform,
        secret_environment=secret or compose.SECRET in variables,
    )


def read_stack_file(project_dir: Path, stack: str) -> object:
    """The raw value of ``overlab:lab`` in ``Pulumi.<stack>.yaml``, or the project's default where it is not set.

    Raises SettingsError where the file is missing, is not valid YAML, or has ambiguous values.
    """
    found = stack_file.read(project_dir, stack)
    if found.problems:
        raise SettingsError(stack, found.problems)
    return found.lab


def from_stack_file(project_dir: Path, stack: str) -> Settings:
    """Settings of a stack. Raises SettingsError with every problem of the file and of its content."""
    found = stack_file.read(project_dir, stack)
    if not found.problems:
        return parse(found.lab, stack)
    if found.lab is None:
        raise SettingsError(stack, found.problems)
    reported = {problem.path for problem in found.problems}
    try:
        parse(found.lab, stack)
    except SettingsError as error:
        # An ambiguous or secret value is reported once, as that.
        found.problems.extend(
            one
            for one in error.problems
            if one.path not in reported and one.path.removesuffix(".secure") not in reported
        )
    raise SettingsError(stack, found.problems)


def read_platform() -> Platform:
    """The platform record that the environment names. Raises SettingsError where it cannot be read."""
    path = os.environ.get(RECORD_ENV, "")
    remedy = "run 'overlab up', or eval \"$(overlab env)\" before plain pulumi commands"
    try:
        return Platform.model_validate_json(Path(path).read_text("utf-8"))
    except OSError:
        problem = Problem(f"(environment) {RECORD_ENV}", path, "names the platform record of this lab", remedy)
    except ValidationError as error:
        first = error.errors()[0]
        problem = Problem(f"(platform record) {path}", str(first["loc"]), str(first["msg"]), remedy)
    raise SettingsError("", [problem])


def require_hypervisors(platform: Platform, settings: Settings) -> Platform:
    """The platform record, if it has every hypervisor of the settings. Raises SettingsError otherwise."""
    missing = [name for name in settings.hypervisors if name not in platform.hypervisors_by_name]
    if missing:
        rule = (
            f"has the hypervisors of the settings; it lacks {', '.join(name or 'the unnamed one' for name in missing)}"
        )
        found = ", ".join(name or "the unnamed one" for name in platform.hypervisors_by_name) or "none"
        raise SettingsError(settings.stack, [Problem("(platform record) hypervisors", found, rule, "run 'overlab up'")])
    return platform


def load() -> tuple[Settings, Platform]:
    """Settings and platform of the running stack. Ends the program with every problem listed if they are invalid."""
    import pulumi
    from pulumi.runtime import is_config_secret

    config = pulumi.Config(PROJECT)
    text = config.get(KEY)
    try:
        raw = json.loads(text) if text else None
    except (json.JSONDecodeError, RecursionError) as error:
        raise pulumi.RunError(f"{PROJECT}:{KEY} is no structured value: {error}") from error
    secret = is_config_secret(config.full_key(KEY))
    try:
        project_dir = pulumi.get_root_directory() if secret else None
        if project_dir and (problems := stack_file.misplaced_secrets(Path(project_dir), pulumi.get_stack())):
            raise SettingsError(pulumi.get_stack(), problems)
        settings = parse(raw, pulumi.get_stack(), secret=secret)
        return settings, require_hypervisors(read_platform(), settings)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from error
