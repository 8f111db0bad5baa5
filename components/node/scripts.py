"""Node scripts: POSIX shell rendered from ``templates/``, every inserted value quoted."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).parent / "templates"


def _quote(value: object) -> str:
    return shlex.quote(str(value))


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    finalize=_quote,
)


class Raw(str):
    """Text that is already shell (a rendered part) and goes in as it is."""


_ENVIRONMENT.finalize = lambda value: value if isinstance(value, Raw) else _quote(value)


def render(template: str, **values: Any) -> str:
    """The script ``templates/<template>.sh.j2``. Every ``{{ value }}`` in it is quoted for the shell."""
    return _ENVIRONMENT.get_template(f"{template}.sh.j2").render(**values)


def digest(*texts: str) -> str:
    """A short content hash, for triggers and names."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
