"""dockerd's listeners in scripts, files and first-boot data, for programs that declare no engine component."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from . import payloads

_COMMAND_LINE = re.compile(r"(?:\bdockerd\b|\bDOCKER_OPTS=[\"']?)([^\n;&|>']*)")
_HOST_FLAG = re.compile(r"(?:^|\s)(?:-H|--hosts?)[=\s]*\"?([^\s\"]+)")
_VERIFY_FLAG = re.compile(r"--tlsverify(?!=(?:false|0))\b")
_ADDRESS = re.compile(r"\w+://.*|[\w.\[\]:-]*:\d+")


def unverified_listeners(text: str) -> list[str]:
    """Listeners of a dockerd that asks for no client certificate (``tls`` alone asks for none)."""
    if not any(part in text for part in ("docker", "hosts", "tlsverify")):
        return []
    documents = list(payloads.documents(text))
    lines = [match[1] for match in _COMMAND_LINE.finditer(text)]
    verified = [document["tlsverify"] is True for document in documents if "tlsverify" in document]
    verified += [bool(_VERIFY_FLAG.search(line)) for line in lines if "--tlsverify" in line]
    if verified and verified[-1]:
        return []
    from_documents = [str(host) for document in documents for host in _hosts(document.get("hosts"))]
    return from_documents + [match[1] for line in lines for match in _HOST_FLAG.finditer(line)]


def _hosts(value: Any) -> Iterator[str]:
    """``hosts`` of a daemon.json; that of another document names no listeners."""
    if isinstance(value, list) and all(isinstance(one, str) and _ADDRESS.fullmatch(one) for one in value):
        yield from value
