"""What is put on nodes or run there, rendered from ``templates/``."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).parent / "templates"


def _environment(finalize: Callable[[Any], object] | None = None) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=finalize,
    )


_SHELL = _environment(lambda value: shlex.quote(str(value)))
_TEXT = _environment()


def render(template: str, **values: Any) -> str:
    """The script ``templates/<template>.sh.j2``. Every ``{{ value }}`` in it is quoted for the shell."""
    return _SHELL.get_template(f"{template}.sh.j2").render(**values)


def render_text(template: str, **values: Any) -> str:
    """The file ``templates/<template>.j2``, values as they are."""
    return _TEXT.get_template(f"{template}.j2").render(**values)


def digest(*texts: str) -> str:
    """A short content hash, for triggers and names."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
