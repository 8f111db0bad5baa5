"""Edits of a YAML file's text: one value is set or removed, and every other character stays as it is."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from components.config import yaml_reader
from components.config.yaml_reader import Unparsable
from overlab.core.errors import OverlabError

Path = Sequence[str | int]

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_PATH = re.compile(r"[^.\[\]]+(\[\d+\])*(\.[^.\[\]]+(\[\d+\])*)*")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NULL = ("", "~", "null")


class _Found(NamedTuple):
    parent: yaml.Node
    key: yaml.Node | None
    """None for an item of a list."""
    value: yaml.Node


def parse_path(path: str) -> list[str | int]:
    """``workloads.web1.ports[0]`` as its keys and indices. Raises :class:`OverlabError` where it is no path."""
    if not _PATH.fullmatch(path):
        raise OverlabError(f"{path!r} is no path", "write keys with dots between, such as nodes.docker01 or ports[0]")
    return [key or int(index) for key, index in _STEP.findall(path)]


def assign(text: str, path: Path, value: str) -> str:
    """``text`` with ``value``, a YAML value, at ``path``; keys that do not exist are added.

    Raises :class:`OverlabError` where the value is no YAML, or the path leads through what is no mapping.
    """
    try:
        content, _ = yaml_reader.read(value)
        node = yaml.compose(value, Loader=yaml.BaseLoader)
    except (Unparsable, yaml.YAMLError) as error:
        raise OverlabError(f"the value {value!r} is no YAML: {error}", "put it in quotes") from None
    # as it is written, where it can stand there; else as JSON, which YAML reads
    written = "null" if node is None else value[node.start_mark.index : _end(node, value)]
    before, _ = yaml_reader.read(text)
    expected = _assigned(before, path, content)
    for form in (written, json.dumps(content, ensure_ascii=False)):
        if "\n" not in form:
            edited = _assign(text, path, form)
            if _reads_as(edited, expected):
                return edited
    raise _not_editable(path)


def remove(text: str, path: Path) -> str:
    """``text`` without the key at ``path``; unchanged where there is none."""
    before, _ = yaml_reader.read(text)
    found = _trail(text, path)
    if len(found) < len(path):
        return text
    if found[-1].key is None:
        raise OverlabError(f"{shown(path)} is an item of a list", "set the entire list")
    edited, expected = _removed(text, found), copy.deepcopy(before)
    section = expected
    for key in path[:-1]:
        section = section[key]
    del section[path[-1]]
    if not _reads_as(edited, expected):
        raise _not_editable(path)
    return edited


def shown(path: Path) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


# -- on the values


def _assigned(content: Any, path: Path, value: Any) -> Any:
    root = copy.deepcopy(content) or {}
    section: Any = root
    for at, key in enumerate(path):
        if isinstance(key, int):
            if not isinstance(section, list) or key >= len(section):
                raise OverlabError(f"{shown(path[: at + 1])} does not exist", "set the entire list")
        elif not isinstance(section, dict):
            raise OverlabError(f"{shown(path[:at])} is no mapping", "set the entire section")
        elif section.get(key) is None:
            section[key] = {}
        if at == len(path) - 1:
            section[key] = value
        section = section[key]
    return root


def _reads_as(text: str, expected: Any) -> bool:
    try:
        return bool(yaml_reader.read(text)[0] == expected)
    except Unparsable:
        return False


def _not_editable(path: Path) -> OverlabError:
    return OverlabError(f"{shown(path)} cannot be changed without touching other parts", "edit the file")


# -- on the text


def _trail(text: str, path: Path) -> list[_Found]:
    """What exists of the path, from the outermost key."""
    node, found = yaml.compose(text, Loader=yaml.BaseLoader), []
    for key in path:
        one = _child(node, key)
        if one is None:
            break
        found.append(one)
        node = one.value
    return found


def _child(node: yaml.Node | None, key: str | int) -> _Found | None:
    if isinstance(node, yaml.MappingNode):
        return next((_Found(node, name, value) for name, value in node.value if name.value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return _Found(node, None, node.value[key])
    return None


def _assign(text: str, path: Path, form: str) -> str:
    found = _trail(text, path)
    if len(found) == len(path):
        return _replace(text, found[-1], form)
    rest = [str(key) for key in path[len(found) :]]
    node = found[-1].value if found else yaml.compose(text, Loader=yaml.BaseLoader)
    if isinstance(node, yaml.MappingNode) and node.value:
        return _insert(text, node, rest, form)
    if not found:
        raise _not_editable(path)
    return _replace(text, found[-1], _nested(rest, form))  # it was empty


def _replace(text: str, found: _Found, form: str) -> str:
    node = found.value
    start, end = node.start_mark.index, _end(node, text)
    if found.key is not None:
        colon = text.index(":", _end(found.key, text))
        # a comment between key and value stays, and the value below it
        if "#" not in text[colon:start]:
            return f"{text[: colon + 1]} {form}{text[end:]}"
    return text[:start] + form + text[end:]


def _insert(text: str, node: yaml.MappingNode, rest: list[str], form: str) -> str:
    end = _end(node.value[-1][1], text)
    if node.flow_style:
        return f"{text[:end]}, {_key(rest[0])}: {_nested(rest[1:], form)}{text[end:]}"
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    indent = node.value[0][0].start_mark.column
    lines = [f"{' ' * (indent + 2 * depth)}{_key(key)}:" for depth, key in enumerate(rest)]
    return text[:line_end] + "\n" + "\n".join(lines) + f" {form}" + text[line_end:]


def _removed(text: str, found: list[_Found]) -> str:
    last = found[-1]
    assert isinstance(last.parent, yaml.MappingNode)
    assert last.key is not None
    pairs = last.parent.value
    at = next(index for index, (key, _) in enumerate(pairs) if key is last.key)
    if len(pairs) == 1 and len(found) > 1:
        return _replace(text, found[-2], "{}")
    if not last.parent.flow_style:
        start = text.rfind("\n", 0, last.key.start_mark.index) + 1
        line_end = text.find("\n", _end(last.value, text))
        return text[:start] + (text[line_end + 1 :] if line_end >= 0 else "")
    if at + 1 < len(pairs):
        return text[: last.key.start_mark.index] + text[pairs[at + 1][0].start_mark.index :]
    return text[: _end(pairs[at - 1][1], text)] + text[_end(last.value, text) :]


def _nested(keys: list[str], form: str) -> str:
    for key in reversed(keys):
        form = f"{{{_key(key)}: {form}}}"
    return form


def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key)


def _end(node: yaml.Node, text: str) -> int:
    """Where the node's own text ends. PyYAML's mark of a block is behind the comments that follow it."""
    if isinstance(node, yaml.ScalarNode) or not node.value or node.flow_style:  # type: ignore[attr-defined]
        end: int = node.end_mark.index
        return len(text[:end].rstrip()) if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") else end
    last = node.value[-1]
    return _end(last[1] if isinstance(node, yaml.MappingNode) else last, text)
