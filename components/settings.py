"""The lab's settings: the only reader of the stack's configuration and of the ground record.

Everything here is frozen. Whatever is wrong is reported at once, before anything is created.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from components import addressing, draft, rules
from components.ground import RECORD_ENV, Ground
from components.problems import Problem, SettingsError
from components.spec import (
    CheckSpec,
    EngineSpec,
    GroundSpec,
    MachineSpec,
    NetworkSpec,
    OverlaySpec,
    StoreSpec,
    WorkloadSpec,
)

PROJECT = "overlab"
KEY = "lab"

__all__ = ["Node", "Problem", "Settings", "SettingsError", "load", "parse", "read_ground", "read_stack_file"]


@dataclass(frozen=True)
class Node:
    """A node with everything that follows from its key."""

    key: str
    """Also its host name."""
    address: IPv4Address
    mac: str
    machine: MachineSpec


@dataclass(frozen=True)
class Settings:
    """A whole lab, valid."""

    stack: str
    name: str
    network: NetworkSpec
    nodes: dict[str, Node]
    engine: EngineSpec
    store: StoreSpec
    store_node: str
    overlays: dict[str, OverlaySpec]
    workloads: dict[str, WorkloadSpec]
    checks: dict[str, CheckSpec]
    ground: GroundSpec

    @property
    def gateway(self) -> IPv4Address:
        """The hypervisor's end of the lab network."""
        return addressing.gateway(self.network.cidr)

    def isolated(self, ground: Ground) -> bool:
        """Whether the lab network has no way out: by choice, or because the ground has none."""
        mode = self.network.mode
        return mode == "isolated" or (mode == "auto" and ground.kind == "embedded")

    def underlay_mtu(self, overlay: str) -> int:
        """Bytes that an overlay's outer packets may have."""
        return self.overlays[overlay].mtu or self.network.mtu


def parse(raw: object, stack: str) -> Settings:
    """Settings from the raw value of ``overlab:lab``. Raises :class:`SettingsError` with every problem."""
    found = draft.read(raw, stack)
    rules.check(found)
    if found.problems:
        raise SettingsError(stack, found.problems)
    assert found.name and found.network and found.machine and found.engine and found.store and found.ground
    nodes = {}
    for key, spec, address in rules.node_addresses(found):
        assert address is not None
        nodes[key] = Node(key, address, addressing.mac(address), spec.machine or found.machine)
    return Settings(
        stack=stack,
        name=found.name,
        network=found.network,
        nodes=nodes,
        engine=found.engine,
        store=found.store,
        store_node=rules.store_node(found) or next(iter(nodes)),
        overlays=found.overlays,
        workloads=found.workloads,
        checks=found.checks,
        ground=found.ground,
    )


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice in one mapping."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_stack_file(project_dir: Path, stack: str) -> object:
    """The raw value of ``overlab:lab`` in ``Pulumi.<stack>.yaml``; None when it is not set.

    Raises SettingsError where the file is missing or is no YAML.
    """
    path = project_dir / f"Pulumi.{stack}.yaml"
    try:
        content = yaml.load(path.read_text("utf-8"), _UniqueKeys)
    except FileNotFoundError:
        known = ", ".join(sorted(p.name.split(".")[1] for p in project_dir.glob("Pulumi.*.yaml"))) or "none"
        problem = Problem("(file)", str(path), "the stack's settings file exists", f"stacks here: {known}")
        raise SettingsError(stack, [problem]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = Problem("(file)", " ".join(str(error).split()), "valid YAML, each key once", "correct the file")
        raise SettingsError(stack, [problem]) from None
    config = content.get("config") if isinstance(content, dict) else None
    return config.get(f"{PROJECT}:{KEY}") if isinstance(config, dict) else None


def read_ground() -> Ground:
    """The ground record that the environment names. Raises SettingsError where there is none."""
    path = os.environ.get(RECORD_ENV, "")
    remedy = "run 'overlab up', or eval \"$(overlab env)\" before plain pulumi commands"
    try:
        return Ground.model_validate_json(Path(path).read_text("utf-8"))
    except OSError:
        problem = Problem(f"(environment) {RECORD_ENV}", path, "names the ground record of this lab", remedy)
    except ValidationError as error:
        problem = Problem(f"(ground record) {path}", str(error.errors()[0]["loc"]), str(error.errors()[0]["msg"]), remedy)
    raise SettingsError("", [problem])


def load() -> tuple[Settings, Ground]:
    """Settings and ground of the running stack. Ends the program with every problem listed where they are refused."""
    import pulumi

    text = pulumi.Config(PROJECT).get(KEY)
    try:
        settings = parse(json.loads(text) if text else None, pulumi.get_stack())
        return settings, read_ground()
    except json.JSONDecodeError as error:
        raise pulumi.RunError(f"{PROJECT}:{KEY} is no structured value: {error}") from error
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from error
