"""Secrets taken out of text: those that the lab has, and what looks like one. Pure, but for reading the lab's own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from components.config.settings import Settings
from overlab.core.paths import LabPaths

MARK = "[redacted]"
_SHORTEST = 8
"""Of a value: a shorter one would be found everywhere."""
_PUBLIC = re.compile(r".*\.pub|known_hosts|(?!.*-key\.pem).*\.pem")
_PATTERNS = (
    re.compile(r"(\bsecure:\s*)[^\s,{}]+"),
    re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(
        r"(?i)((?:secret|token|passw(?:or)?d|passphrase|api_?key|credential)[a-z_.-]*[\"']?\s*[:=]\s*)[^\s,{}]+"
    ),
    re.compile(r"(?i)(authorization:\s*)\S.*"),
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)"),
)


def redacted(text: str, values: Collection[str]) -> str:
    """The text without these values, longest first, and without what looks like a secret."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MARK)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{MARK}", text)
    return text


def secrets_of(paths: LabPaths, settings: Settings) -> set[str]:
    """What this lab has: keys, tokens, its passphrase, and the values of its workloads' environments."""
    files = [file for file in paths.identity.rglob("*") if file.is_file() and not _PUBLIC.fullmatch(file.name)]
    found = {line for file in [*files, paths.passphrase] for line in _lines(file)}
    found |= {value for spec in settings.workloads.values() for value in spec.environment.values()}
    return {one for one in found if len(one) >= _SHORTEST}


def _lines(file: Path) -> Iterator[str]:
    if file.is_file():
        for line in file.read_text("utf-8", errors="replace").splitlines():
            if not line.startswith("-----"):
                yield line.strip()
