"""etcd by its v2 API, the one that libkv speaks. Standard library of Python 3.9."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

ENDPOINTS: tuple[str, ...] = ()
"""Each HOST:PORT; set when the program is put together."""
MEMBER_LIMIT_S = 2.0
"""For the answer of one member about itself."""


class Client:
    """The first of the endpoints that answers."""

    def __init__(self, endpoints: Sequence[str], limit_s: float) -> None:
        self._urls = [f"http://{endpoint}" for endpoint in endpoints]
        self._limit_s = limit_s
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def leader(self) -> str:
        try:
            member = self._call("/v2/members/leader")
        except RuntimeError as error:
            if "answered 503" in str(error):  # during an election
                return ""
            raise
        return _peer(member)

    def peers(self) -> list[str]:
        """The members that answer."""
        return [_peer(member) for member in self._call("/v2/members")["members"] if self._answers(member)]

    def version(self) -> str:
        return str(self._call("/version")["etcdserver"])

    def tree(self, prefix: str) -> dict[str, bytes]:
        with contextlib.suppress(LookupError):
            return dict(_leaves(self._call(f"{_path(prefix)}?recursive=true&quorum=true")["node"]))
        return {}

    def create(self, key: str, value: str) -> None:
        with contextlib.suppress(FileExistsError):
            self._call(f"{_path(key)}?prevExist=false", "PUT", urllib.parse.urlencode({"value": value}))

    def delete(self, key: str) -> None:
        with contextlib.suppress(LookupError):
            self._call(_path(key), "DELETE")

    def _answers(self, member: dict[str, Any]) -> bool:
        with contextlib.suppress(OSError):
            # One that has not started yet has none.
            return any(self._ask(url, "/version", limit_s=MEMBER_LIMIT_S) for url in member["clientURLs"][:1])
        return False

    def _call(self, path: str, method: str = "GET", body: str | None = None) -> dict[str, Any]:
        for url in self._urls[:-1]:
            with contextlib.suppress(OSError):
                return self._ask(url, path, method, body, min(self._limit_s, 2 * MEMBER_LIMIT_S))
        return self._ask(self._urls[-1], path, method, body, self._limit_s)

    def _ask(
        self, url: str, path: str, method: str = "GET", body: str | None = None, limit_s: float = 0
    ) -> dict[str, Any]:
        request = urllib.request.Request(f"{url}{path}", body.encode() if body else None, method=method)
        try:
            with self._opener.open(request, timeout=limit_s) as answer:
                found: dict[str, Any] = json.loads(answer.read() or b"{}")
                return found
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:300]
            if error.code == 404:
                raise LookupError(path) from error
            if error.code == 412:
                raise FileExistsError(path) from error
            raise RuntimeError(f"the store answered {error.code} to {path}: {text}") from error


def _path(key: str) -> str:
    return f"/v2/keys/{urllib.parse.quote(key, '/:')}"


def _peer(member: dict[str, Any]) -> str:
    return str(member["peerURLs"][0]).partition("://")[2]


def _leaves(node: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    if node.get("dir"):
        for child in node.get("nodes") or ():
            yield from _leaves(child)
    else:
        yield node["key"].lstrip("/"), node["value"].encode()
