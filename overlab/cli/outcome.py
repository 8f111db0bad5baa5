"""How a Pulumi operation ended: why it failed, on one screen, and all of it as a document for programs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from typing import Any

from components.config.platform import Platform
from components.config.settings import Settings
from overlab.cli.application import notify
from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.progress import Progress
from overlab.diagnosis import failures
from overlab.diagnosis.failures import Failure
from overlab.inspect import diagnostics
from overlab.inspect.finding import Finding
from overlab.platform import container_images
from overlab.stack import event_log, phases
from overlab.stack.stack import Stack

EVIDENCE_LIMIT_S = 15.0
Write = Callable[[Stack, Progress, int, Settings | None, Collection[Finding]], None]


def of(stack: Stack, settings: Settings | None = None) -> list[Failure]:
    """Why the steps of the last operation failed; that the operation as a whole did is left out where a step did."""
    found = []
    for urn, message in event_log.errors(event_log.read(stack.event_log)):
        component, _, name = event_log.name_of(urn).partition("/") if urn else ("", "", "")
        found.append(failures.diagnose(component, name, message, _facts(stack, name, settings)))
    return [one for one in found if one.component and one.component != "Stack"] or found


def explain(stack: Stack, operation: str, settings: Settings | None = None) -> None:
    """Name each failed step with cause, evidence and remedy; the messages are in a file as they came."""
    found = of(stack, settings)
    if not found:
        notify(f"error: `pulumi {operation}` failed\n  remedy: see its output above")
        return
    file = stack.paths.logs / f"{stack.name}-failed.txt"
    write_private(file, "\n\n".join(f"{one.step}\n{one.message.strip()}" for one in found).encode() + b"\n")
    notify("\n" + failures.as_text(operation, found, str(file)))


def keep_evidence(settings: Settings, platform: Platform, stack: Stack, reason: str) -> None:
    """Write the archive of ``overlab diag`` beside the logs, within seconds, and name it."""
    file = stack.paths.logs / f"{stack.name}-diag.tar.gz"
    try:
        diagnostics.write(file, settings, platform, stack, reason, EVIDENCE_LIMIT_S)
        notify(f"evidence, without secrets: {file}")
    except OverlabError as error:
        notify(f"no evidence was kept: {error.what}")


@contextlib.contextmanager
def document(wanted: bool) -> Iterator[Write]:
    """What writes the document, at the end, where it is wanted; what other programs print is then on standard error."""
    if not wanted:
        yield lambda *_: None
        return
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)

    def write(
        stack: Stack, progress: Progress, code: int, settings: Settings | None, findings: Collection[Finding]
    ) -> None:
        found = _document(stack, progress, code, settings) | {"findings": [one.model_dump() for one in findings]}
        os.write(saved, json.dumps(found, indent=1).encode() + b"\n")

    try:
        yield write
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def _document(stack: Stack, progress: Progress, code: int, settings: Settings | None) -> dict[str, Any]:
    return {
        "stack": stack.name,
        "exit_code": code,
        "changes": [asdict(one) | {"seconds": one.seconds} for one in phases.read(stack.event_log)],
        "steps": [asdict(one) for one in progress.timings],
        "failures": [asdict(one) for one in (of(stack, settings) if code else [])],
        "event_log": str(stack.event_log),
    }


def _facts(stack: Stack, name: str, settings: Settings | None) -> dict[str, str]:
    facts = {"stack": stack.name, "lab": stack.paths.lab}
    if stack.manifest.images is not None:
        facts["images"] = ", ".join(name.removeprefix("library/") for name in container_images.names())
    if settings is not None:
        begun_by = [key for key in settings.nodes if name == key or name.startswith(f"{key}-")]
        network = settings.networks.get(name)
        placed = settings.placement.get(name) or (network.created_on if network else "")
        if node := placed or (max(begun_by, key=len) if begun_by else ""):
            facts["node"] = node
    return facts
