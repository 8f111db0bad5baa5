"""What was prepared for a lab, beyond the platform record: how each part was come by, and whether it still holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

import overlab
from overlab.core.paths import LabPaths
from overlab.core.process import write_private

if TYPE_CHECKING:
    from components.config.settings import Settings

_FILE = "prepared.json"


class PlatformManifest(BaseModel):
    """Saved last: where it is, and fits, the whole platform was prepared."""

    model_config = ConfigDict(frozen=True)

    checkout: Path
    inputs: str
    """Digest of everything the platform follows from: settings and the platform's own code."""
    files: dict[str, tuple[int, int]]
    """Size and mtime_ns of files outside the lab's directories that the record points at."""
    cli: Path
    cli_version: str
    rungs: dict[str, str]
    """For each part of the platform the rung of the ladder that was taken, for people."""
    bundled_plugins: bool
    images: Path | None
    """Content of the lab's own registry; None where there is none."""

    @classmethod
    def load(cls, paths: LabPaths) -> PlatformManifest | None:
        try:
            return cls.model_validate_json((paths.state / _FILE).read_bytes())
        except (OSError, ValueError):
            return None

    def save(self, paths: LabPaths) -> None:
        write_private(paths.state / _FILE, self.model_dump_json(indent=1).encode())

    def fits(self, settings: Settings) -> bool:
        """Whether the preparation was made from these settings, by this code, and its files are unchanged."""
        return self.inputs == inputs_digest(settings) and self.files == fingerprints(self.files)


def checkout() -> Path:
    """The directory of the project that this code runs from."""
    return Path(overlab.__file__).resolve().parents[1]


def inputs_digest(settings: Settings) -> str:
    """Digest of what the platform is made from. Node addresses count: they are in known_hosts and certificates."""
    facts = {
        "checkout": str(checkout()),
        "nodes": {key: [str(node.address), node.hypervisor] for key, node in settings.nodes.items()},
        "network": [str(settings.underlay.cidr), str(settings.gateway)],
        "platform": settings.platform.model_dump(mode="json"),
        "install": settings.engine.install,
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
