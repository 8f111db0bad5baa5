"""Secrets that must not reach an error text or a log line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bundled_plugins.command.connection import CREDENTIALS
from bundled_plugins.runtime.values import Properties, Secret

MASK = "[secret]"

#: Shorter secrets, and shorter lines of secrets, would mask ordinary text all over.
SHORTEST = 3
SHORTEST_LINE = 8


class Mask:
    """Replaces every secret of the given properties in texts.

    Secret is what stands inside a ``Secret``; of a connection, which is a secret as a whole, only the credentials.
    """

    def __init__(self, *properties: Properties) -> None:
        found = {text for bag in properties for text in _secrets(bag)}
        lines = {line.strip() for text in found for line in text.splitlines()}
        words = {text for text in found if len(text) >= SHORTEST}
        words |= {line for line in lines if len(line) >= SHORTEST_LINE}
        self._words = sorted(words, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for word in self._words:
            if word in text:
                text = text.replace(word, MASK)
        return text


def _secrets(properties: Properties) -> Iterator[str]:
    for name, value in properties.items():
        if name == "connection":
            yield from _credentials(value)
        else:
            yield from _strings(value, inside=False)


def _credentials(value: Any) -> Iterator[str]:
    plain = value.value if isinstance(value, Secret) else value
    for name in CREDENTIALS if isinstance(plain, dict) else ():
        yield from _strings(plain.get(name), inside=True)


def _strings(value: Any, *, inside: bool) -> Iterator[str]:
    if isinstance(value, Secret):
        yield from _strings(value.value, inside=True)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item, inside=inside)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, inside=inside)
    elif isinstance(value, str) and inside:
        yield value
