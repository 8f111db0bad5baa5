"""The lab's settings: the only reader of the stack's configuration and of the platform record.

Everything here is frozen. Whatever is wrong is reported at once, before anything is created.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from pydantic import ValidationError

from components.config import addressing, draft, rules, rules_network, rules_placement, stack_file
from components.config.platform import RECORD_ENV, Platform
from components.config.problems import Problem, SettingsError
from components.config.spec import (
    CheckSpec,
    EngineSpec,
    LabSpec,
    MachineSpec,
    NetworkSpec,
    PlatformSpec,
    StoreSpec,
    UnderlaySpec,
    WorkloadSpec,
)
from components.config.stack_file import KEY, PROJECT, name_problems, stacks

__all__ = [
    "KEY",
    "PROJECT",
    "LabSpec",
    "Node",
    "Problem",
    "Settings",
    "SettingsError",
    "from_stack_file",
    "load",
    "name_problems",
    "parse",
    "read_platform",
    "read_stack_file",
    "require_hypervisors",
    "stacks",
]


@dataclass(frozen=True)
class Node:
    """A node with everything that follows from its key."""

    key: str
    """Also its host name."""
    address: IPv4Address
    mac: str
    machine: MachineSpec
    hypervisor: str = ""
    """The name of the one that its machine is on; empty for the lab's only one, which has none."""


@dataclass(frozen=True)
class Settings:
    """A whole lab, valid."""

    stack: str
    name: str
    underlay: UnderlaySpec
    nodes: dict[str, Node]
    engine: EngineSpec
    store: StoreSpec
    store_nodes: tuple[str, ...]
    """The nodes that run a store server; the first one is where a single server is."""
    networks: dict[str, NetworkSpec]
    workloads: dict[str, WorkloadSpec]
    placement: dict[str, str]
    """Workload -> node."""
    checks: dict[str, CheckSpec]
    platform: PlatformSpec

    @property
    def gateway(self) -> IPv4Address:
        """The hypervisor's end of the lab network."""
        return addressing.gateway(self.underlay.cidr)

    def isolated(self, platform: Platform) -> bool:
        """Whether the lab network has no way out: by choice, or because the platform has none."""
        mode = self.underlay.mode
        return mode == "isolated" or (mode == "auto" and platform.kind == "bundled")

    @property
    def hypervisors(self) -> tuple[str, ...]:
        """Names of the hypervisors that nodes are placed on; that of an unnamed one is empty."""
        return tuple(dict.fromkeys(node.hypervisor for node in self.nodes.values()))

    @property
    def store_addresses(self) -> tuple[IPv4Address, ...]:
        """Of the nodes with a store server."""
        return tuple(self.nodes[key].address for key in self.store_nodes)

    def underlay_mtu(self, overlay: str) -> int:
        """Bytes that an overlay's outer packets may have."""
        return self.networks[overlay].mtu or self.underlay.mtu


def parse(raw: object, stack: str) -> Settings:
    """Settings from the raw value of ``overlab:lab``. Raises :class:`SettingsError` with every problem."""
    found = draft.read(raw, stack)
    rules.check(found)
    if found.problems:
        raise SettingsError(stack, found.problems)
    nodes = {}
    for key, spec, address in rules_network.node_addresses(found):
        assert address is not None
        nodes[key] = Node(
            key, address, addressing.mac(address), spec.machine or found.machine, rules_placement.place(found, spec)
        )
    return Settings(
        stack=stack,
        name=found.name,
        underlay=found.underlay,
        nodes=nodes,
        engine=found.engine,
        store=found.store,
        store_nodes=rules.store_nodes(found),
        networks=found.networks,
        workloads=found.workloads,
        placement={key: rules.node_of(found, key) or "" for key in found.workloads},
        checks=found.checks,
        platform=found.platform,
    )


def read_stack_file(project_dir: Path, stack: str) -> object:
    """The raw value of ``overlab:lab`` in ``Pulumi.<stack>.yaml``, or the project's default where it is not set.

    Raises SettingsError where the file is missing, is no YAML, or means different things to different readers.
    """
    found = stack_file.read(project_dir, stack)
    if found.problems:
        raise SettingsError(stack, found.problems)
    return found.lab


def from_stack_file(project_dir: Path, stack: str) -> Settings:
    """Settings of a stack. Raises SettingsError with every problem of the file and of what it says."""
    found = stack_file.read(project_dir, stack)
    if not found.problems:
        return parse(found.lab, stack)
    if found.lab is None:
        raise SettingsError(stack, found.problems)
    told = {problem.path for problem in found.problems}
    try:
        parse(found.lab, stack)
    except SettingsError as error:
        # What is ambiguous is told once, as that.
        found.problems.extend(problem for problem in error.problems if problem.path not in told)
    raise SettingsError(stack, found.problems)


def read_platform() -> Platform:
    """The platform record that the environment names. Raises SettingsError where there is none."""
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
    """The platform record, if it has every hypervisor of the settings. Raises SettingsError where it lacks one."""
    lacking = [name for name in settings.hypervisors if name not in platform.places]
    if lacking:
        rule = (
            f"has the hypervisors of the settings; it lacks {', '.join(name or 'the unnamed one' for name in lacking)}"
        )
        found = ", ".join(name or "the unnamed one" for name in platform.places) or "none"
        raise SettingsError(settings.stack, [Problem("(platform record) hypervisors", found, rule, "run 'overlab up'")])
    return platform


def load() -> tuple[Settings, Platform]:
    """Settings and platform of the running stack. Ends the program with every problem listed where they are refused."""
    import pulumi

    text = pulumi.Config(PROJECT).get(KEY)
    try:
        settings = parse(json.loads(text) if text else None, pulumi.get_stack())
        return settings, require_hypervisors(read_platform(), settings)
    except (ValueError, RecursionError) as error:
        raise pulumi.RunError(f"{PROJECT}:{KEY} is no structured value: {error}") from error
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from error
