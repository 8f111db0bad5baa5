"""What to write instead of a key that a section does not have: its new name, Compose's meaning, or the nearest key."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

from components.config.section import Spec

_LONGEST_KEY = 40
_DATA: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
RENAMED: dict[str, dict[str, str]] = _DATA["renamed"]
"""Section -> old key -> new key."""
RENAMED_VALUES: dict[str, str] = _DATA["renamed_values"]
UNAVAILABLE_VALUES: dict[str, str] = _DATA["unavailable_values"]
"""Value that people know from elsewhere -> why not, and what to do instead."""
COMPOSE: dict[str, dict[str, str]] = {
    section: {key: meaning for keys, meaning in meanings.items() for key in keys.split()}
    for section, meanings in _DATA["compose"].items()
}
"""Section -> key of Compose -> what to do instead."""


def answer(section: type[Spec], key: str) -> tuple[str, str]:
    """The rule that the key breaks, and the remedy."""
    if new := RENAMED.get(section.__name__, {}).get(key):
        return "unknown key", f"write {new}"
    if meaning := COMPOSE.get(section.__name__, {}).get(key):
        return "a key of Docker or Compose that a lab does not have here", meaning
    known = sorted(section.model_fields)
    close = difflib.get_close_matches(key[:_LONGEST_KEY], known, n=1)
    first = f"did you mean {close[0]}?" if close else "remove it;"
    return "unknown key", f"{first} known keys: {', '.join(known)}"


def is_without_equivalent(section: type[Spec], key: str) -> bool:
    """Whether the key is one of Compose, and no misspelled or renamed one of the section's own."""
    return key in COMPOSE.get(section.__name__, {}) and key not in RENAMED.get(section.__name__, {})
