"""What an explorer did and saw, as one HTML page: no scripts, nothing from elsewhere, every value escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2


@dataclass(frozen=True)
class Entry:
    """One thing after the other, in seconds from the begin."""

    begin: float
    end: float
    what: str
    detail: str = ""
    bad: bool = False


def page(title: str, entries: Sequence[Entry], violations: Sequence[str]) -> str:
    """The page; each entry has a bar as long as it took."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    total = max((one.end for one in entries), default=0) or 1
    template = environment.get_template("timeline.html.j2")
    return template.render(title=title, entries=entries, violations=violations, total=total)
