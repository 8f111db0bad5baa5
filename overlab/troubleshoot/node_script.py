"""The text of a script for a node, in one piece."""

from __future__ import annotations

import re
from importlib.resources import files

_SHARED = "node_sockets"
_MODULE = re.compile(r"^from __future__ .*\n|^from overlab\.[^(\n]*(\([^)]*\))?\n", re.MULTILINE)


def text(name: str) -> str:
    """A script of this package behind what the scripts share."""
    shared, script = ((files("overlab.troubleshoot") / f"{one}.py").read_text("utf-8") for one in (_SHARED, name))
    return shared + _MODULE.sub("", script)
