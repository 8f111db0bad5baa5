"""Consul by its HTTP API. Standard library of Python 3.9."""

from __future__ import annotations

import base64
import contextlib
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

ENDPOINTS: tuple[str, ...] = ()
"""HOST:PORT; set when the program is put together."""


class Client:
    """The agent or server at the only endpoint. libnetwork's keys end in a slash; here no key does."""

    def __init__(self, endpoints: Sequence[str], limit_s: float) -> None:
        self._url = f"http://{endpoints[0]}"
        self._limit_s = limit_s
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def leader(self) -> str:
        return str(json.loads(self._call("/v1/status/leader")))

    def peers(self) -> list[str]:
        return [str(peer) for peer in json.loads(self._call("/v1/status/peers"))]

    def version(self) -> str:
        return str(json.loads(self._call("/v1/agent/self"))["Config"]["Version"])

    def tree(self, prefix: str) -> dict[str, bytes]:
        with contextlib.suppress(LookupError):
            entries: list[dict[str, Any]] = json.loads(self._call(f"/v1/kv/{urllib.parse.quote(prefix, '/:')}?recurse"))
            return {entry["Key"].rstrip("/"): base64.b64decode(entry["Value"] or "") for entry in entries}
        return {}

    def create(self, key: str, value: str) -> None:
        self._call(f"/v1/kv/{urllib.parse.quote(key, '/:')}?cas=0", "PUT", value)

    def delete(self, key: str) -> None:
        self._call(f"/v1/kv/{urllib.parse.quote(key, '/:')}", "DELETE")

    def _call(self, path: str, method: str = "GET", body: str | None = None) -> bytes:
        request = urllib.request.Request(f"{self._url}{path}", body.encode() if body else None, method=method)
        try:
            with self._opener.open(request, timeout=self._limit_s) as answer:
                found: bytes = answer.read()
                return found
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise LookupError(path) from error
            text = error.read().decode(errors="replace")[:300]
            raise RuntimeError(f"the store answered {error.code} to {path}: {text}") from error
