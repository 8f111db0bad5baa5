"""Pages that stand alone: one HTML file each, without scripts or anything from elsewhere. Every value is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from overlab.checks.reproduce import reproduce_command
from overlab.checks.text import lines_of
from overlab.core.xmltext import clean
from overlab.diagnosis import causes


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["cause"] = causes.find
    environment.globals["reproduce"] = reproduce_command
    environment.filters["lines"] = lines_of
    environment.filters["css"] = lambda status: str(status).replace(" ", "")
    return environment


def _printable(value: Any) -> Any:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def render(page: str, **values: Any) -> str:
    """The page ``<page>.html.j2``."""
    return _environment().get_template(f"{page}.html.j2").render(**values)
