"""Which lab a stack made, whatever its settings name now: the labs of this checkout are searched for its state."""

from __future__ import annotations

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths, state_root
from overlab.platform.manifest import PlatformManifest, checkout
from overlab.stack.stack import Stack


def labs_of(stack: str) -> list[str]:
    """Labs of this checkout that have the stack's state; one until its settings name another."""
    found = []
    for directory in sorted((state_root() / "labs").glob("*")):
        paths = LabPaths(directory.name)
        manifest = PlatformManifest.load(paths)
        if manifest is not None and manifest.checkout == checkout() and Stack(stack, paths, manifest).exists():
            found.append(paths.lab)
    return found


def renamed_from(stack: str, lab: str) -> str | None:
    """The lab that the stack has, where ``lab``, which its settings name, is another one that it never had."""
    labs = labs_of(stack)
    return labs[0] if labs and lab not in labs else None


def require_own_lab(stack: str, lab: str) -> None:
    """Raise :class:`OverlabError` where the settings of a stack name a lab that is not the stack's own."""
    before = renamed_from(stack, lab)
    if before is not None:
        raise OverlabError(
            f"stack {stack} has the lab {before}, and its settings name the lab {lab} now",
            f"overlab down --stack {stack} --platform, which takes {before} down;"
            f" or its old name: overlab set --stack {stack} name={before}",
        )
    refuse_lab_of_another(stack, lab)


def refuse_lab_of_another(stack: str, lab: str) -> None:
    """Raise :class:`OverlabError` where the lab is up as another stack's."""
    paths = LabPaths(lab)
    manifest = PlatformManifest.load(paths)
    if manifest is None or Stack(stack, paths, manifest).exists():
        return
    for file in sorted(Stack(stack, paths, manifest).state_file.parent.glob("*.json")):
        other = Stack(file.stem, paths, manifest)
        if not other.is_empty():
            raise OverlabError(
                f"the lab {lab} is up as stack {other.name}, not as {stack}",
                f"--stack {other.name}; or another name for this one: overlab set --stack {stack} name={stack}",
            )
