"""Text for XML 1.0, which cannot hold every character, not even escaped."""

from __future__ import annotations

import re

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """The text with what XML cannot hold replaced by U+FFFD. What needs escaping is left to the writer."""
    return _FORBIDDEN.sub("\ufffd", text)
