"""The JSON Schema of a stack file, for editors: derived from the settings' models, so that it cannot drift."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.config.spec import LabSpec
from components.config.stack_file import FULL_KEY, KEY, PROJECT
from overlab.platform.manifest import checkout

FILE = Path("schema") / "lab.schema.json"


def document() -> dict[str, Any]:
    """The schema of ``Pulumi.<stack>.yaml``. Rules between fields are beyond it: ``overlab validate`` checks them."""
    lab = _for_editors(LabSpec.model_json_schema(mode="validation"))
    parts = lab.pop("$defs")
    keys = {FULL_KEY: {"$ref": "#/$defs/LabSpec"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Stack file of {PROJECT}",
        "description": "The content of Pulumi.<stack>.yaml. Written by `overlab schema`; do not edit.",
        "type": "object",
        "properties": {
            "config": {
                "description": "The stack's configuration.",
                "type": "object",
                "properties": keys,
                "patternProperties": {f"^{PROJECT}:(?!{KEY}$)": False},
            }
        },
        "$defs": {"LabSpec": lab, **parts},
    }


def text() -> str:
    """The content of the schema file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def is_current() -> bool:
    """Whether the checkout's schema file is up to date."""
    path = checkout() / FILE
    return path.exists() and path.read_text("utf-8") == text()


def write() -> Path:
    """Write the checkout's schema file; its path."""
    path = checkout() / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(text(), "utf-8")
    return path


def _for_editors(node: Any, *, names: bool = False) -> Any:
    """Without titles, which repeat the names, and closed to other names. ``names``: the keys of ``node`` are names."""
    if isinstance(node, list):
        return [_for_editors(item) for item in node]
    if not isinstance(node, dict):
        return node.replace("``", "`") if isinstance(node, str) else node
    if names:
        return {key: _for_editors(item) for key, item in node.items()}
    inner = ("properties", "patternProperties", "$defs")
    found = {key: _for_editors(item, names=key in inner) for key, item in node.items() if key != "title"}
    if "patternProperties" in found:
        [(pattern, settings)] = found.pop("patternProperties").items()
        found |= {"propertyNames": {"pattern": pattern}, "additionalProperties": settings}
    return found
