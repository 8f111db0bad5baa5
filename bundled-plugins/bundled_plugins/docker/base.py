"""What every docker resource has in common: check, diff, previews, and the official error layout."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar, cast

from docker.errors import DockerException

from bundled_plugins.docker.client import Api, Daemon
from bundled_plugins.docker.errors import BROKEN, Failed, framed, layout, text
from bundled_plugins.runtime import bridge
from bundled_plugins.runtime.errors import Cancelled, PartialFailure, ProviderError
from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.resource import Checked, Difference, Live, Operation, Resource
from bundled_plugins.runtime.values import Properties, Unknown, unwrap, walk

NAME_LIMIT = 255


class Unfinished(Exception):
    """The object was made, and then something failed: :attr:`id` must not be lost."""

    def __init__(self, id: str, cause: BaseException) -> None:
        super().__init__(text(cause))
        self.id = id


class DockerResource(Resource):
    """A resource whose answers follow from its ``model``; subclasses make, observe, change and remove the object.

    What reaches the four hooks is free of secrets, nulls and bookkeeping keys.
    """

    model: ClassVar[type[Model]]
    outputs: ClassVar[tuple[str, ...]] = ()
    """Properties that are never inputs (camelCase)."""

    def make(self, op: Operation, api: Api, inputs: Properties) -> tuple[str, Properties]:
        """Make the object; (id, observed properties). Raise Unfinished once it exists."""
        raise NotImplementedError

    def observe(self, op: Operation, api: Api, id: str, known: Properties) -> tuple[str, Properties] | None:
        """(id, live properties), or None when the object is gone. ``known`` = last outputs, empty on import.

        Properties that are left out keep their known value.
        """
        raise NotImplementedError

    def change(self, op: Operation, api: Api, id: str, olds: Properties, news: Properties) -> Properties:
        """Change the object in place; ``news`` are the new outputs, as is or corrected the answer."""
        return news

    def remove(self, op: Operation, api: Api, id: str, known: Properties) -> None:
        """Remove the object; already gone = success."""
        raise NotImplementedError

    # the protocol

    def check(self, op: Operation, olds: Properties, news: Properties, autoname: Callable[[int], str]) -> Checked:
        return bridge.check(self.model, self.token, olds, news, autoname)

    def diff(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Difference:
        return bridge.diff(self.model, olds, news)

    def preview_create(self, op: Operation, inputs: Properties) -> Properties:
        return plain(bridge.planned(self.model, {}, inputs, self.outputs))

    def create(self, op: Operation, inputs: Properties) -> tuple[str, Properties]:
        known = bare(inputs)
        try:
            with framed(), _daemon(op).serving(op) as api:
                id_, live = self.make(op, api, known)
        except Unfinished as failure:
            reason = f"creating {op.urn}: {layout(str(failure))}"
            raise PartialFailure(failure.id, known, [reason]) from failure
        return id_, bridge.steady(self.model, known, known | live)

    def read(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> Live | None:
        known = bare(outputs)
        with framed(f"refreshing {op.urn}: "), _daemon(op).serving(op) as api:
            found = self.observe(op, api, id, known)
        if found is None:
            return None
        live_id, live = found
        now = bridge.steady(self.model, known, known | live)
        return Live(live_id, now, bridge.refreshed_inputs(self.model, inputs, now))

    def preview_update(
        self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties
    ) -> Properties:
        return plain(bridge.planned(self.model, olds, news, self.outputs))

    def update(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Properties:
        planned = bare(bridge.planned(self.model, olds, news, self.outputs))
        try:
            with _daemon(op).serving(op) as api:
                return self.change(op, api, id, bare(olds), planned)
        except Cancelled:
            raise
        except (*BROKEN, ProviderError) as error:
            reason = f"updating {op.urn}: {layout(text(error))}"
            raise PartialFailure(id, bare(olds), [reason]) from error

    def delete(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> None:
        with framed(f"deleting {op.urn}: "), _daemon(op).serving(op) as api:
            self.remove(op, api, id, bare(outputs))


def _daemon(op: Operation) -> Daemon:
    return cast(Daemon, op.provider)


def retried(op: Operation, attempt: Callable[[], None], phrase: str, state: str, limit_s: float = 30) -> None:
    """Repeat an attempt that fails with ``phrase`` each second, until it succeeds or ``limit_s`` are over."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return attempt()
        except DockerException as error:
            if phrase not in text(error):
                raise
            if time.monotonic() >= deadline:
                raise Failed(
                    f"timeout while waiting for state to become 'removed' (last state: '{state}', "
                    f"timeout: {limit_s:g}s): {text(error)}"
                ) from error
        op.log("info", f"waiting: {phrase}", True)
        op.pause(1)


def plain(properties: Properties) -> Properties:
    """The properties without bookkeeping keys (``__*``) and nulls, at every level."""

    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: v for k, v in node.items() if not k.startswith("__") and v is not None}
        return node

    return cast(Properties, walk(properties, clean))


def bare(properties: Properties) -> Properties:
    """:func:`plain`, and without secrets and unknowns: what a real operation works with."""
    return {k: v for k, v in unwrap(plain(properties)).items() if not isinstance(v, Unknown)}
