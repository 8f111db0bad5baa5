"""A new stack's file, from another one's: its comments kept, its lab able to run beside every other one."""

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

from components.config import settings as lab_settings
from components.config.settings import KEY, PROJECT, Settings, SettingsError
from overlab.core.errors import OverlabError
from overlab.platform.manifest import checkout

_OF_ITS_OWN = ("encryptionsalt", "secretsprovider", "encryptedkey")
"""What Pulumi keeps in a stack's file for that stack alone."""


def create(stack: str, source: str, changes: Sequence[str] = ()) -> Path:
    """Write ``Pulumi.<stack>.yaml``; its path. ``changes`` are ``path=value`` below ``overlab:lab``, values in YAML.

    The lab network becomes one that no other stack has, and stated node addresses move along. Nothing is written
    where the result would not be valid (SettingsError) or where the file exists (OverlabError).
    """
    misnamed = lab_settings.name_problems(stack)
    if misnamed:
        raise SettingsError(stack, misnamed)
    target = checkout() / f"Pulumi.{stack}.yaml"
    if target.exists():
        raise OverlabError(f"{target.name} exists already", f"overlab validate --stack {stack}, or choose another name")
    given = lab_settings.from_stack_file(checkout(), source)
    content = _load(checkout() / f"Pulumi.{source}.yaml")
    lab = _lab(content, source)
    others = list(_valid_stacks())
    lab.pop("name", None)
    _move(lab, given.underlay.cidr, _stated_network(changes) or _free_network(given, others))
    for change in changes:
        _change(lab, change)
    text = _text(content)
    made = _judge(stack, text)
    if made.name in {other.name for other in others}:
        raise OverlabError(f"another stack's lab is named {made.name} already", "--set name=another-name")
    with target.open("x", encoding="utf-8") as file:
        file.write(text)
    return target


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # lines stay as they are
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _load(path: Path) -> Any:
    return _yaml().load(path.read_text("utf-8"))


def _text(content: Any) -> str:
    stream = io.StringIO()
    _yaml().dump(content, stream)
    return stream.getvalue()


def _lab(content: Any, source: str) -> MutableMapping[str, Any]:
    for key in _OF_ITS_OWN:
        content.pop(key, None)
    if "secure:" in _text(content):
        remedy = "remove them from a copy of it, and set them for the new stack: pulumi config set --secret"
        raise OverlabError(f"Pulumi.{source}.yaml holds secrets, which another stack cannot read", remedy)
    config = content.get("config") or {}
    lab = config.get(f"{PROJECT}:{KEY}", config.get(KEY))
    if not isinstance(lab, MutableMapping):
        raise OverlabError(f"Pulumi.{source}.yaml has no lab of its own to copy", "choose another stack with --from")
    return lab


# -- the network


def _stated_network(changes: Sequence[str]) -> IPv4Network | None:
    for change in changes:
        path, _, value = change.partition("=")
        if path == "underlay.cidr":
            try:
                return IPv4Network(value.strip("'\" "))
            except ValueError:
                return None  # what is wrong with it is told when the whole is judged
    return None


def _free_network(given: Settings, others: Sequence[Settings]) -> IPv4Network:
    """One of the same size that no stack's lab and no network of the new lab has."""
    taken = [pool.base for pool in given.engine.address_pools]
    taken += [overlay.subnet for overlay in given.networks.values() if overlay.subnet is not None]
    taken += [other.underlay.cidr for other in others]
    for network in _candidates(given.underlay.cidr.prefixlen):
        if not any(network.overlaps(other) for other in taken):
            return network
    raise OverlabError(
        f"no private /{given.underlay.cidr.prefixlen} is free", "say which: --set underlay.cidr=A.B.C.D/N"
    )


def _valid_stacks() -> Iterator[Settings]:
    """What a broken stack would use nobody can say."""
    for stack in lab_settings.stacks(checkout()):
        with suppress(SettingsError):
            yield lab_settings.from_stack_file(checkout(), stack)


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
            # Where the new network is too small the address stays, and is refused with all the rest.
            node["address"] = str(new[offset]) if offset < new.num_addresses else node["address"]


# -- changes


def _change(lab: MutableMapping[str, Any], change: str) -> None:
    path, equals, value = change.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        remedy = "write --set path=value, such as --set machine.memory_mib=2048"
        raise OverlabError(f"--set {change!r} is no change", remedy)
    try:
        parsed = _yaml().load(value)
    except YAMLError as error:
        raise OverlabError(f"the value in --set {change!r} is no YAML: {error}", "put it in quotes") from None
    place = lab
    for key in keys[:-1]:
        if place.get(key) is None:
            place[key] = {}
        inner = place[key]
        if not isinstance(inner, MutableMapping):
            raise OverlabError(f"--set {path}: {key} is no mapping", "set that as a whole")
        place = inner
    place[keys[-1]] = parsed


def _judge(stack: str, text: str) -> Settings:
    with tempfile.TemporaryDirectory(prefix="overlab-new-") as directory:
        (Path(directory) / f"Pulumi.{stack}.yaml").write_text(text, "utf-8")
        return lab_settings.from_stack_file(Path(directory), stack)
