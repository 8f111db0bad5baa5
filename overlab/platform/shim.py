"""The lab's `pulumi` command: the real CLI, started inside the lab's network namespace."""

from __future__ import annotations

import shlex
from pathlib import Path

from overlab.core.paths import LabPaths
from overlab.core.process import write_private


def write(paths: LabPaths, cli: Path, namespace: str | None) -> None:
    """Put it into the lab's ``bin``. Every process on the way is replaced, so nothing stands between caller and CLI."""
    command = [str(cli)]
    if namespace is not None:
        command = ["nsenter", f"--net=/run/netns/{namespace}", "--", *command]
    text = f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n'.encode()
    file = paths.bin / "pulumi"
    if not file.exists() or file.read_bytes() != text:
        write_private(file, text, mode=0o755)
