"""Text for XML 1.0, which cannot hold every character, not even escaped; control characters are left out as well."""

from __future__ import annotations

import re

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """The text with what XML cannot hold, and DEL and C1 control characters, replaced by U+FFFD.

    What needs escaping is left to the writer.
    """
    return _FORBIDDEN.sub("\ufffd", text)
