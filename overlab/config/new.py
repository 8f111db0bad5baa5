"""A new stack's file, copied from another one: its comments are kept, and its lab can run at the same time."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from components.config import stack_file, yaml_reader
from components.config.settings import Settings, SettingsError, from_stack_file
from overlab.config import edit
from overlab.core.errors import OverlabError
from overlab.platform.manifest import checkout

_SECRET = re.compile(r"\bsecure\s*:")
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
    text = stack_file.path_of(checkout(), source).read_text("utf-8-sig")
    for key in _STACKS_OWN:
        text = edit.remove(text, [key])
    lab = lab_path(text, f"Pulumi.{source}.yaml")
    if _SECRET.search(text):
        remedy = "remove them from a copy of it, and set them for the new stack: pulumi config set --secret"
        raise OverlabError(f"Pulumi.{source}.yaml holds secrets, which another stack cannot read", remedy)
    others = list(_valid_stacks())
    text = edit.remove(text, [*lab, "name"])
    text = _moved(text, lab, given, _stated_underlay(changes) or _free_network(given, others))
    for change in changes:
        text = changed(text, lab, change)
    name = settings_of(stack, text).name
    if name in {other.name for other in others}:
        raise OverlabError(f"another stack's lab is named {name} already", "--set name=another-name")
    with target.open("x", encoding="utf-8") as file:
        file.write(text)
    return target


def lab_path(text: str, file: str) -> list[str | int]:
    """Path of the lab in a stack file. Raises :class:`OverlabError` where it has none."""
    config = (yaml_reader.read(text)[0] or {}).get("config") or {}
    key = next((key for key in (stack_file.FULL_KEY, stack_file.KEY) if isinstance(config.get(key), dict)), None)
    if key is None:
        raise OverlabError(f"{file} has no lab", f"write {stack_file.FULL_KEY} under config:, or name another stack")
    return ["config", key]


def changed(text: str, lab: list[str | int], change: str) -> str:
    """With one ``path=value`` below the lab. Raises :class:`OverlabError` where it is none."""
    path, equals, value = change.partition("=")
    if not equals:
        raise OverlabError(f"{change!r} is no change", "write path=value, such as machine.memory_mib=2048")
    return edit.assign(text, [*lab, *edit.parse_path(path)], value)


def settings_of(stack: str, text: str) -> Settings:
    """Settings of a stack whose file has this text. Raises SettingsError."""
    with tempfile.TemporaryDirectory(prefix="overlab-") as directory:
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


def _moved(text: str, lab: list[str | int], given: Settings, new: IPv4Network) -> str:
    text = edit.assign(text, [*lab, "underlay", "cidr"], str(new))
    nodes = yaml_reader.read(text)[0][lab[0]][lab[1]]["nodes"]
    for key, node in nodes.items():
        if isinstance(node, dict) and node.get("address"):
            offset = int(IPv4Address(node["address"])) - int(given.underlay.cidr.network_address)
            # In a smaller network the address may not fit: it stays, and is refused when the result is validated.
            if offset < new.num_addresses:
                text = edit.assign(text, [*lab, "nodes", key, "address"], str(new[offset]))
    return text
