"""A lab that is up, opened for reading: its settings, its platform, its stack. Nothing of it is changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from components import checks
from components.config.platform import Platform
from components.config.settings import Settings
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform import prepare
from overlab.platform.manifest import PlatformManifest
from overlab.stack import outputs
from overlab.stack.outputs import Outputs
from overlab.stack.stack import Stack


@dataclass(frozen=True)
class LabHandle:
    """One stack whose platform is running and that was brought up at least once."""

    settings: Settings
    platform: Platform
    stack: Stack
    matrix: tuple[checks.Check, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", checks.matrix(self.settings))

    def outputs(self) -> Outputs:
        return outputs.read(self.stack)


def open_lab(stack: str, settings: Settings, progress: Progress) -> LabHandle:
    """The lab of a stack. Raises :class:`OverlabError` where it is not up."""
    found = require_up(stack, settings)
    platform = prepare.ready(settings) or prepare.restart_daemons(settings.name, progress)
    if platform is None:
        raise _not_up(stack, settings)
    return LabHandle(settings, platform, found)


def require_up(stack: str, settings: Settings) -> Stack:
    """The stack, if it has anything of the lab. Raises :class:`OverlabError` otherwise; nothing is started."""
    found = existing_stack(stack, settings)
    if found is None or found.is_empty():
        raise _not_up(stack, settings)
    return found


def _not_up(stack: str, settings: Settings) -> OverlabError:
    return OverlabError(f"the lab {settings.name} is not up", f"overlab up --stack {stack}")


def existing_stack(name: str, settings: Settings) -> Stack | None:
    """The stack, if its platform was prepared and it was created; nothing is started."""
    paths = LabPaths(settings.name)
    manifest = PlatformManifest.load(paths)
    if manifest is None:
        return None
    stack = Stack(name, paths, manifest)
    return stack if stack.exists() else None
