"""What all operations of the plugin process share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from bundled_plugins.command.masking import Mask
from bundled_plugins.command.pool import Pool
from bundled_plugins.command.stopping import Stop, Stops
from bundled_plugins.runtime.errors import Cancelled, ProviderError
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties


class Client:
    """The SSH connections and the running operations."""

    def __init__(self) -> None:
        self.pool = Pool()
        self.stops = Stops()

    def cancel(self) -> None:
        """End all operations soon, and every connection."""
        self.stops.fire()
        self.pool.close()


class Running(NamedTuple):
    """One operation at work."""

    op: Operation
    client: Client
    stop: Stop
    mask: Mask

    def info(self, message: str) -> None:
        """Show it in the status column only."""
        self.op.log("info", self.mask(message), True)

    def log(self, severity: str, message: str) -> None:
        self.op.log(severity, self.mask(message), False)


@contextlib.contextmanager
def running(op: Operation, *properties: Properties) -> Iterator[Running]:
    """An operation under its time limit, whose errors hold none of the secrets in ``properties``."""
    client = op.provider
    if not isinstance(client, Client):
        raise ProviderError("the plugin was asked for an operation before Configure")
    mask = Mask(*properties)
    try:
        with client.stops.watch(op) as stop:
            yield Running(op, client, stop, mask)
    except ProviderError as error:
        kind = Cancelled if isinstance(error, Cancelled) else ProviderError
        raise kind(mask(str(error))) from None
