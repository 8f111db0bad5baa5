"""What was prepared for a lab, beyond the platform record: the source of each part, and what it was prepared from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

import overlab
from overlab.core.files import write_private
from overlab.core.paths import LabPaths

if TYPE_CHECKING:
    from components.config.settings import Settings

_FILE = "manifest.json"


class PlatformManifest(BaseModel):
    """Saved last: where it exists, the platform was prepared completely."""

    model_config = ConfigDict(frozen=True)

    checkout: Path
    inputs: str
    """Digest of everything that decides the platform: see :func:`inputs_digest`."""
    files: dict[str, tuple[int, int]]
    """Size and mtime_ns of files outside the lab's directories that the record points at."""
    cli: Path
    cli_version: str
    sources: dict[str, str]
    """Where each part of the platform came from, for display."""
    bundled_plugins: bool
    images: Path | None
    """Storage of the lab's own registry; None where there is none."""

    @classmethod
    def load(cls, paths: LabPaths) -> PlatformManifest | None:
        try:
            return cls.model_validate_json((paths.state / _FILE).read_bytes())
        except (OSError, ValueError):
            return None

    def save(self, paths: LabPaths) -> None:
        write_private(paths.state / _FILE, self.model_dump_json(indent=1).encode())


def checkout() -> Path:
    """The directory of the project that this code runs from."""
    return Path(overlab.__file__).resolve().parents[1]


def inputs_digest(settings: Settings, tools: Mapping[str, str]) -> str:
    """Digest of what decides the platform: settings, the platform's code, and which ``tools`` are resolved.

    Node addresses count: they are in known_hosts and certificates. So do the store's servers, which these name.
    """
    facts = {
        "tools": dict(tools),
        "checkout": str(checkout()),
        "nodes": {key: [str(node.address), node.hypervisor] for key, node in settings.nodes.items()},
        "network": [str(settings.underlay.cidr), str(settings.gateway)],
        "platform": settings.platform.model_dump(mode="json"),
        "install": settings.engine.install,
        "store": settings.store_nodes,
        "kind": settings.machine_kind,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for file in sorted((checkout() / "overlab" / "platform").rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(str(file).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def fingerprints(files: Iterable[str | Path]) -> dict[str, tuple[int, int]]:
    """Size and mtime_ns of each file; a missing one is (-1, -1)."""
    found = {}
    for file in files:
        try:
            info = Path(file).stat()
            found[str(file)] = (info.st_size, info.st_mtime_ns)
        except OSError:
            found[str(file)] = (-1, -1)
    return found
