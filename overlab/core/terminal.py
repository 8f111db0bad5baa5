"""Text on the terminal: the only place where what nodes, workloads, stores and images say becomes safe to print.

Everything is printed on a :class:`SafeConsole`, so that no text of others moves the cursor, changes the title or types
for the user. Markup is for constants: :func:`styled` fills in the rest as plain text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_REPLACEMENT = "\ufffd"
_KEPT = "\n\t"
_UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Control, format (direction overrides among them), surrogates, and Unicode's line ends."""


def clean(text: str) -> str:
    """The text with every control character but line feed and tab replaced by U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_REPLACEMENT if one not in _KEPT and unicodedata.category(one) in _UNSAFE else one for one in text)


class SafeConsole(Console):
    """A console that prints no control character of a text; those of its own styles are not part of any."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)


def styled(template: str, *values: object) -> Text:
    """The markup ``template`` with each ``{}`` filled in, in order; the values are never read as markup."""
    base, text, begin = Text.from_markup(template), Text(), 0
    for value in values:
        at = base.plain.index("{}", begin)
        filled = value.copy() if isinstance(value, Text) else Text(str(value))
        for span in base.spans:
            if span.start <= at < span.end:
                filled.stylize(span.style)
        text.append_text(base[begin:at]).append_text(filled)
        begin = at + 2
    return text.append_text(base[begin:])
