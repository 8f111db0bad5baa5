"""A resource whose answers follow from its input model; its provider adds how the object itself is handled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, cast

from bundled_plugins.runtime import bridge
from bundled_plugins.runtime.errors import Cancelled, PartialFailure, ProviderError
from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.resource import Checked, Difference, Operation, ReadResult, Resource
from bundled_plugins.runtime.values import Properties, Unknown, unwrap, walk

NAME_LIMIT = 255


class PartiallyCreated(ProviderError):
    """The object was created, and then something failed: :attr:`id` must not be lost."""

    def __init__(self, id: str, cause: ProviderError) -> None:
        super().__init__(str(cause))
        self.id = id


class ModelResource(Resource):
    """Check, diff, previews and the layout of errors. ``client`` is what the provider's ``configure`` returned.

    The four hooks get properties without secrets, nulls and internal keys, and raise ProviderError or what
    :meth:`library_errors` turns into one.
    """

    model: ClassVar[type[Model]]
    outputs: ClassVar[tuple[str, ...]] = ()
    """Properties that are never inputs (camelCase)."""
    keeps_refused_update: ClassVar[bool] = False
    """Whether the state takes the new values even though the update failed."""

    def create_object(self, op: Operation, client: Any, inputs: Properties) -> str:
        """Create the object; its id. Raise PartiallyCreated when something fails after that."""
        raise NotImplementedError

    def read_object(self, op: Operation, client: Any, id: str, known: Properties) -> tuple[str, Properties] | None:
        """(id, live properties), or None when the object is gone. ``known`` = last outputs, empty on import.

        Properties that are left out keep their known value.
        """
        raise NotImplementedError

    def update_object(self, op: Operation, client: Any, id: str, olds: Properties, news: Properties) -> Properties:
        """Change the object in place; outputs that differ from ``news``, the planned ones."""
        return {}

    def delete_object(self, op: Operation, client: Any, id: str, outputs: Properties) -> None:
        """Remove the object; already gone = success."""
        raise NotImplementedError

    @contextmanager
    def client(self, op: Operation) -> Iterator[Any]:
        """The client for one operation."""
        yield op.provider

    def library_errors(self) -> AbstractContextManager[None]:
        """Turns the errors of the client's library into ProviderError."""
        return nullcontext()

    def error_layout(self, doing: str, op: Operation, text: str) -> str:
        """An error as the user is to see it; ``doing`` is "" while nothing exists yet, else e.g. ``refreshing``."""
        return text

    # the protocol

    def check(self, op: Operation, olds: Properties, news: Properties, autoname: Callable[[int], str]) -> Checked:
        return bridge.check(self.model, self.token, olds, news, autoname)

    def diff(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Difference:
        return bridge.diff(self.model, olds, news)

    def preview_create(self, op: Operation, inputs: Properties) -> Properties:
        return bridge.preview_outputs(self.model, {}, strip_internal(inputs), self.outputs)

    def preview_update(
        self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties
    ) -> Properties:
        return bridge.preview_outputs(self.model, strip_internal(olds), strip_internal(news), self.outputs)

    def create(self, op: Operation, inputs: Properties) -> tuple[str, Properties]:
        known = to_plain(inputs)
        try:
            with self._using("", op) as client:
                self._require_valid(known)
                id_ = self.create_object(op, client, known)
                found = self._read_created(op, client, id_, known)
                if found is None:
                    raise ProviderError(f"{op.name}: {id_} vanished while it was created")
        except PartiallyCreated as failure:
            raise PartialFailure(failure.id, known, [self.error_layout("creating", op, str(failure))]) from failure
        return found[0], bridge.keep_known_order(self.model, known, known | found[1])

    def _read_created(self, op: Operation, client: Any, id: str, known: Properties) -> tuple[str, Properties] | None:
        try:
            with self.library_errors():
                return self.read_object(op, client, id, known)
        except ProviderError as error:
            raise PartiallyCreated(id, error) from error

    def read(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> ReadResult | None:
        known = to_plain(outputs)
        with self._using("refreshing", op) as client:
            found = self.read_object(op, client, id, known)
        if found is None:
            return None
        live = bridge.keep_known_order(self.model, known, known | found[1])
        return ReadResult(found[0], live, bridge.refreshed_inputs(self.model, inputs, live))

    def update(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Properties:
        before = to_plain(olds)
        planned = to_plain(self.preview_update(op, id, olds, old_inputs, news))
        self._require_valid(to_plain(news))
        try:
            with self._using("updating", op) as client:
                return planned | self.update_object(op, client, id, before, planned)
        except Cancelled:
            raise
        except ProviderError as error:
            kept = planned if self.keeps_refused_update else before
            raise PartialFailure(id, kept, [str(error)]) from error

    def delete(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> None:
        with self._using("deleting", op) as client:
            self.delete_object(op, client, id, to_plain(outputs))

    @contextmanager
    def _using(self, doing: str, op: Operation) -> Iterator[Any]:
        """The client; what fails inside gets the error layout, but for cancellation and PartiallyCreated."""
        try:
            with self.client(op) as client, self.library_errors():
                yield client
        except (Cancelled, PartiallyCreated):
            raise
        except ProviderError as error:
            raise ProviderError(self.error_layout(doing, op, str(error))) from error

    def _require_valid(self, inputs: Properties) -> None:
        """Values that were unknown when the inputs were checked are validated here."""
        failures = self.model.failures(inputs, self.token)
        if failures:
            raise ProviderError("; ".join(f"{failure.property}: {failure.reason}".lstrip(": ") for failure in failures))


def strip_internal(properties: Properties) -> Properties:
    """The properties without internal keys (``__*``) and nulls, at every level."""

    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: v for k, v in node.items() if not k.startswith("__") and v is not None}
        return node

    return cast(Properties, walk(properties, clean))


def to_plain(properties: Properties) -> Properties:
    """:func:`strip_internal`, and without secrets and unknown members: what a real operation works with."""

    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: v for k, v in node.items() if not isinstance(v, Unknown)}
        return node

    return cast(Properties, walk(unwrap(strip_internal(properties)), clean))
