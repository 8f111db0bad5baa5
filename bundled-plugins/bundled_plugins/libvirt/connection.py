"""The connection to one hypervisor, shared by every operation of the plugin process."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import libvirt

from bundled_plugins.libvirt.errors import message
from bundled_plugins.libvirt.waits import locked
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.resource import Operation

DIAL_LIMIT_S = 60.0

KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_COUNT = 6
"""A connection without an answer for interval x count seconds is closed, and every call that waits for it fails."""

_event_loop = threading.Lock()
_event_loop_runs = False


class Hypervisor:
    """One libvirt daemon: its connection, and the locks that keep its storage pools consistent.

    Dials at once. Raises :class:`ProviderError` when the daemon does not answer. A connection found dead is dialed
    again by the next operation.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._dial_lock = threading.Lock()
        self._guard = threading.Lock()
        self._pool_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._network_lock = threading.Lock()
        self._connection: Any = _dial(uri)

    @property
    def connection(self) -> Any:
        """The live ``virConnect``."""
        with self._dial_lock:
            if not self._connection.isAlive():
                with contextlib.suppress(libvirt.libvirtError):
                    self._connection.close()
                self._connection = _dial(self.uri)
            return self._connection

    @contextmanager
    def pool_locked(self, op: Operation, name: str) -> Iterator[None]:
        """One change at a time in the pool: libvirt refuses to refresh a pool while something is uploaded to it."""
        with self._guard:
            lock = self._pool_locks[name]
        with locked(op, lock, f"the storage pool '{name}'"):
            yield

    @contextmanager
    def network_locked(self, op: Operation) -> Iterator[None]:
        """One network definition at a time, so that two do not pick the same bridge."""
        with locked(op, self._network_lock, "the definition of another network"):
            yield


def libvirt_uri(uri: str) -> str:
    """The official provider's URI as libvirt's own client understands it.

    ``sshauth`` is dropped (``ssh`` itself chooses), ``known_hosts_verify=ignore`` becomes ``no_verify=1``; ``ssh``
    is never let to ask. Raises :class:`ProviderError` for ``knownhosts`` and passwords: ``ssh`` has no such option.
    """
    parts = urlsplit(uri)
    if not parts.scheme:
        raise ProviderError(f"'{uri}' is no libvirt connection URI; use e.g. qemu:///system")
    if not parts.scheme.endswith("+ssh"):
        return uri
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "knownhosts" in options:
        raise ProviderError(
            f"the option 'knownhosts' of '{uri}' is not supported by the bundled libvirt plugin; "
            "put the key into the user's known_hosts file, or use the official plugin"
        )
    methods = options.pop("sshauth", "agent,privkey").split(",")
    if not {"agent", "privkey"} & set(methods):
        raise ProviderError(
            f"sshauth={','.join(methods)} of '{uri}' is not supported by the bundled libvirt plugin; "
            "use a key (sshauth=agent or privkey), or use the official plugin"
        )
    if options.pop("known_hosts_verify", "") == "ignore":
        options["no_verify"] = "1"
    options.setdefault("no_tty", "1")
    return urlunsplit(parts._replace(query=urlencode(options, safe="/,")))


def _dial(uri: str) -> Any:
    _start_event_loop()
    target = libvirt_uri(uri)
    answer: dict[str, Any] = {}

    def dial() -> None:
        try:
            connection = libvirt.open(target)
            connection.getLibVersion()
            answer["connection"] = connection
        except libvirt.libvirtError as error:
            answer["error"] = message(error)

    thread = threading.Thread(target=dial, name="dial", daemon=True)
    thread.start()
    thread.join(DIAL_LIMIT_S)
    if "connection" not in answer:
        seen = answer.get("error", f"no answer within {DIAL_LIMIT_S:.0f} s")
        raise ProviderError(
            f"failed to connect to {uri}: {seen}; is libvirtd running there, and may this user reach it?"
        )
    # Local drivers (test://) have nothing to keep alive and refuse.
    with contextlib.suppress(libvirt.libvirtError):
        answer["connection"].setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
    return answer["connection"]


def _start_event_loop() -> None:
    """libvirt's keepalive needs an event loop, registered before the first connection is opened."""
    global _event_loop_runs
    with _event_loop:
        if _event_loop_runs:
            return
        _event_loop_runs = True
        # Without a handler libvirt prints each error to stderr.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True).start()


def _run_event_loop() -> None:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()
