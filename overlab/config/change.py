"""``overlab set``: a stack's file with other values, and everything else in it as it was."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import unified_diff

from components.config import stack_file
from components.config.problems import Problem
from components.config.settings import SettingsError
from overlab.config import edit, new
from overlab.core.files import write_private
from overlab.platform.manifest import checkout
from overlab.stack import remembered


def apply(stack: str, changes: Sequence[str], removals: Sequence[str] = ()) -> str:
    """Write the file with ``path=value`` set and paths removed, all below ``overlab:lab``; returns the difference.

    Nothing is written where it would have a problem that it did not have before (SettingsError), or where the stack's
    lab would get another name (OverlabError).
    """
    found = stack_file.read(checkout(), stack)
    if found.lab is None and found.problems:
        raise SettingsError(stack, found.problems)
    path = stack_file.path_of(checkout(), stack)
    before = path.read_text("utf-8-sig")
    lab, text = new.lab_path(before, path.name), before
    for removal in removals:
        text = edit.remove(text, [*lab, *edit.parse_path(removal)])
    for change in changes:
        text = new.changed(text, lab, change)
    known = {(one.path, one.rule) for one in _validate(stack, before)[1]}
    name, problems = _validate(stack, text)
    if added := [one for one in problems if (one.path, one.rule) not in known]:
        raise SettingsError(stack, added)
    if name is not None:
        remembered.require_own_lab(stack, name)
    if text != before:
        write_private(path, text.encode(), path.stat().st_mode & 0o777)
    lines = list(unified_diff(before.splitlines(keepends=True), text.splitlines(keepends=True), n=0))[2:]
    return "".join(line for line in lines if not line.startswith("@@"))


def _validate(stack: str, text: str) -> tuple[str | None, Sequence[Problem]]:
    """The lab's name, or the problems."""
    try:
        return new.settings_of(stack, text).name, ()
    except SettingsError as error:
        return None, error.problems
