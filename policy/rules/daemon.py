"""What a text tells dockerd: ``daemon.json`` and the flags of its command line, wherever they stand in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import payloads

_OWN_KEYS = {
    "bip",
    "cluster-advertise",
    "cluster-store",
    "cluster-store-opts",
    "data-root",
    "default-address-pools",
    "exec-opts",
    "insecure-registries",
    "live-restore",
    "registry-mirrors",
    "storage-driver",
    "tlsverify",
    "userland-proxy",
}
_COMMAND_LINE = re.compile(r"(?:\bdockerd\b|\bDOCKER_OPTS=[\"']?)([^\n;&|>']*)")
_VERSION = re.compile(r"(?:\bwant|\bDOCKER_VERSION|\bdocker(?:-ce|\.io|-engine)?)[=:]\s*[\"']?(?:\d+:)?(\d+\.\d+)")
_LISTENER_FLAGS = {"-H", "--host", "--hosts"}


@dataclass(frozen=True)
class Daemon:
    """A part of an engine's configuration. None: not stated."""

    listeners: Sequence[str] = ()
    asks_for_certificates: bool | None = None
    """``tlsverify``: the client must show a certificate of the lab's authority. ``tls`` alone asks for none."""
    store: str | None = None
    advertise: str | None = None
    pools: Sequence[str] | None = None
    """Address ranges for the engine's local networks."""
    version: str | None = None
    """Wanted release line, such as 20.10."""

    def __or__(self, other: Daemon) -> Daemon:
        """Both parts; of what both state, the second."""
        return Daemon(
            listeners=(*self.listeners, *other.listeners),
            asks_for_certificates=_later(self.asks_for_certificates, other.asks_for_certificates),
            store=_later(self.store, other.store),
            advertise=_later(self.advertise, other.advertise),
            pools=_later(self.pools, other.pools),
            version=_later(self.version, other.version),
        )


def read(text: str) -> Daemon | None:
    """What a text tells dockerd; None where it tells it nothing."""
    found = Daemon()
    if "docker" not in text and "cluster-store" not in text and "tlsverify" not in text and "hosts" not in text:
        return None
    for document in payloads.documents(text):
        if not _OWN_KEYS.isdisjoint(document) or _is_list_of_urls(document.get("hosts")):
            found |= _from_document(document)
    for match in _COMMAND_LINE.finditer(text):
        found |= _from_flags(match[1])
    if found == Daemon():
        return None
    version = _VERSION.search(text)
    return found | Daemon(version=version[1] if version else None)


def _from_document(document: Mapping[str, Any]) -> Daemon:
    hosts = document.get("hosts")
    pools = document.get("default-address-pools")
    verify = document.get("tlsverify")
    return Daemon(
        listeners=tuple(map(str, hosts)) if isinstance(hosts, list) else (),
        asks_for_certificates=None if verify is None else verify is True,
        store=_text(document.get("cluster-store")),
        advertise=_text(document.get("cluster-advertise")),
        pools=tuple(str(p["base"]) for p in pools if "base" in p) if isinstance(pools, list) else None,
    )


def _from_flags(line: str) -> Daemon:
    found = Daemon()
    for name, value in _flags(line):
        if name in _LISTENER_FLAGS:
            found |= Daemon(listeners=(value,))
        elif name == "--tlsverify":
            found |= Daemon(asks_for_certificates=value.lower() not in ("false", "0"))
        elif name == "--cluster-store":
            found |= Daemon(store=value)
        elif name == "--cluster-advertise":
            found |= Daemon(advertise=value)
        elif name == "--default-address-pool":
            base = dict(part.partition("=")[::2] for part in value.split(",")).get("base")
            found |= Daemon(pools=(*(found.pools or ()), base) if base else None)
    return found


def _flags(line: str) -> Iterator[tuple[str, str]]:
    """Flags with their values; of a flag without one the next word may be none of its."""
    words = line.replace('"', " ").split()
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not name.startswith("-"):
            continue
        if name.startswith("-H") and len(name) > 2:
            yield "-H", name[2:] + equals + value
        elif equals:
            yield name, value
        else:
            following = words[index + 1] if index + 1 < len(words) else ""
            yield name, "" if following.startswith("-") else following


def _is_list_of_urls(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and "://" in one for one in value)


def _later(first: Any, second: Any) -> Any:
    return first if second is None else second


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
