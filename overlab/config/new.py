"""A new stack's file, copied from another one: its comments are kept, and its lab can run at the same time."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from components.config import stack_file
from components.config.settings import Settings, SettingsError, from_stack_file
from overlab.core.errors import OverlabError
from overlab.platform.manifest import checkout

_STACKS_OWN = ("encryptionsalt", "secretsprovider", "encryptedkey")
"""Keys that Pulumi stores in a stack's file for that stack only."""


def create(stack: str, source: str, changes: Sequence[str] = ()) -> Path:
    """Write ``Pulumi.<stack>.yaml`` and return its path. ``changes`` are ``path=value`` below ``overlab:lab``, in YAML.

    The underlay becomes one that no other stack has; stated node addresses keep their offset in it. Nothing is written
    where the result would be invalid (SettingsError) or where the file exists (OverlabError).
    """
    if problems := stack_file.name_problems(stack):
        raise SettingsError(stack, problems)
    target = stack_file.path_of(checkout(), stack)
    if target.exists():
        raise OverlabError(f"{target.name} exists already", f"overlab validate --stack {stack}, or choose another name")
    given = from_stack_file(checkout(), source)
    content = _yaml().load(stack_file.path_of(checkout(), source).read_text("utf-8"))
    lab = _lab(content, source)
    others = list(_valid_stacks())
    lab.pop("name", None)
    _move(lab, given.underlay.cidr, _stated_underlay(changes) or _free_network(given, others))
    for change in changes:
        _change(lab, change)
    text = _text(content)
    name = _settings(stack, text).name
    if name in {other.name for other in others}:
        raise OverlabError(f"another stack's lab is named {name} already", "--set name=another-name")
    with target.open("x", encoding="utf-8") as file:
        file.write(text)
    return target


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # no line is wrapped
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _text(content: Any) -> str:
    stream = io.StringIO()
    _yaml().dump(content, stream)
    return stream.getvalue()


def _lab(content: Any, source: str) -> MutableMapping[str, Any]:
    for key in _STACKS_OWN:
        content.pop(key, None)
    if "secure:" in _text(content):
        remedy = "remove them from a copy of it, and set them for the new stack: pulumi config set --secret"
        raise OverlabError(f"Pulumi.{source}.yaml holds secrets, which another stack cannot read", remedy)
    config = content.get("config") or {}
    lab = config.get(stack_file.FULL_KEY, config.get(stack_file.KEY))
    if not isinstance(lab, MutableMapping):
        raise OverlabError(f"Pulumi.{source}.yaml has no lab to copy", "choose another stack with --from")
    return lab


def _settings(stack: str, text: str) -> Settings:
    with tempfile.TemporaryDirectory(prefix="overlab-new-") as directory:
        stack_file.path_of(Path(directory), stack).write_text(text, "utf-8")
        return from_stack_file(Path(directory), stack)


# -- the underlay


def _stated_underlay(changes: Sequence[str]) -> IPv4Network | None:
    for change in changes:
        path, _, value = change.partition("=")
        if path == "underlay.cidr":
            with suppress(ValueError):  # reported when the result is validated
                return IPv4Network(value.strip("'\" "))
    return None


def _free_network(given: Settings, others: Sequence[Settings]) -> IPv4Network:
    """One of the same size that no stack's underlay and no network of the new lab has."""
    taken = [pool.base for pool in given.engine.address_pools]
    taken += [network.subnet for network in given.networks.values() if network.subnet is not None]
    taken += [other.underlay.cidr for other in others]
    prefix = given.underlay.cidr.prefixlen
    for network in _candidates(prefix):
        if not any(network.overlaps(other) for other in taken):
            return network
    raise OverlabError(f"no private /{prefix} is free", "choose one: --set underlay.cidr=A.B.C.D/N")


def _valid_stacks() -> Iterator[Settings]:
    for stack in stack_file.stacks(checkout()):
        with suppress(SettingsError):
            yield from_stack_file(checkout(), stack)


def _candidates(prefix: int) -> Iterator[IPv4Network]:
    if prefix >= 16:
        for second in (*range(99, 63, -1), *range(100, 255)):
            yield IPv4Network(f"10.{second}.0.0/{prefix}")
    for private in ("172.16.0.0/12", "10.0.0.0/8"):
        wide = IPv4Network(private)
        if prefix >= wide.prefixlen:
            yield from wide.subnets(new_prefix=min(prefix, 16))


def _move(lab: MutableMapping[str, Any], old: IPv4Network, new: IPv4Network) -> None:
    if not isinstance(lab.get("underlay"), MutableMapping):
        lab["underlay"] = {}
    lab["underlay"]["cidr"] = str(new)
    for node in lab["nodes"].values():
        if isinstance(node, MutableMapping) and node.get("address"):
            offset = int(IPv4Address(node["address"])) - int(old.network_address)
            # In a smaller network the address may not fit: it stays, and is refused when the result is validated.
            node["address"] = str(new[offset]) if offset < new.num_addresses else node["address"]


# -- changes


def _change(lab: MutableMapping[str, Any], change: str) -> None:
    path, equals, value = change.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise OverlabError(f"--set {change!r} is no change", "write path=value, such as machine.memory_mib=2048")
    try:
        parsed = _yaml().load(value)
    except YAMLError as error:
        raise OverlabError(f"the value in --set {change!r} is no YAML: {error}", "put it in quotes") from None
    section = lab
    for key in keys[:-1]:
        if section.get(key) is None:
            section[key] = {}
        section = section[key]
        if not isinstance(section, MutableMapping):
            raise OverlabError(f"--set {path}: {key} is no mapping", "set the entire section")
    section[keys[-1]] = parsed
