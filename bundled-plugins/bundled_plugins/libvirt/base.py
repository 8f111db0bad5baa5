"""What every libvirt resource has in common: check, diff, previews and reading, from its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import libvirt

from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.errors import message
from bundled_plugins.runtime import bridge
from bundled_plugins.runtime.errors import PartialFailure, ProviderError
from bundled_plugins.runtime.model import Model, Shape, shapes
from bundled_plugins.runtime.resource import Checked, Difference, Live, Operation, Resource
from bundled_plugins.runtime.values import UNKNOWN, Properties, Unknown, unwrap, walk

NAME_LIMIT = 255


class LibvirtResource(Resource):
    """A resource whose answers follow from its ``model``; subclasses make, observe, change and remove the object."""

    model: ClassVar[type[Model]]

    def make(self, op: Operation, host: Hypervisor, inputs: Properties) -> str:
        """Make the object; its id. ``inputs`` are free of secrets."""
        raise NotImplementedError

    def observe(self, op: Operation, host: Hypervisor, id: str, known: Properties) -> Properties | None:
        """The live properties, or None when the object is gone. ``known`` = last outputs, empty on import.

        Properties that libvirt cannot tell are left out: they keep their known value.
        """
        raise NotImplementedError

    def change(self, op: Operation, host: Hypervisor, id: str, olds: Properties, news: Properties) -> None:
        """Change the object in place, as far as the official provider does."""

    def remove(self, op: Operation, host: Hypervisor, id: str, outputs: Properties) -> None:
        """Remove the object; already gone = success."""
        raise NotImplementedError

    # the protocol

    def check(self, op: Operation, olds: Properties, news: Properties, autoname: Callable[[int], str]) -> Checked:
        return bridge.check(self.model, self.token, olds, news, autoname)

    def diff(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Difference:
        return bridge.diff(self.model, olds, news)

    def preview_create(self, op: Operation, inputs: Properties) -> Properties:
        return planned(self.model, {}, plain(inputs))

    def create(self, op: Operation, inputs: Properties) -> tuple[str, Properties]:
        host = cast(Hypervisor, op.provider)
        known = plain(inputs)
        self._require_valid(known)
        with passed_on():
            id_ = self.make(op, host, unwrap(known))
        try:
            with passed_on():
                live = self.observe(op, host, id_, unwrap(known))
        except ProviderError as error:
            raise PartialFailure(id_, known, [str(error)]) from error
        if live is None:
            raise ProviderError(f"{op.name}: {id_} vanished while it was made")
        return id_, known | live

    def read(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> Live | None:
        known = unwrap(plain(outputs))
        with passed_on():
            live = self.observe(op, op.provider, id, known)
        if live is None:
            return None
        outputs = known | live
        return Live(id, outputs, bridge.refreshed_inputs(self.model, inputs, outputs))

    def preview_update(
        self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties
    ) -> Properties:
        return planned(self.model, plain(olds), plain(news))

    def update(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Properties:
        before, after = plain(olds), plain(news)
        self._require_valid(after)
        try:
            with passed_on():
                self.change(op, op.provider, id, unwrap(before), unwrap(after))
        except ProviderError as error:
            raise PartialFailure(id, before, [str(error)]) from error
        return _known_part(planned(self.model, before, after))

    def _require_valid(self, inputs: Properties) -> None:
        """Values that were unknown when the inputs were checked are judged here."""
        failures = self.model.failures(inputs, self.token)
        if failures:
            raise ProviderError("; ".join(f"{failure.property}: {failure.reason}".lstrip(": ") for failure in failures))

    def delete(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> None:
        with passed_on():
            self.remove(op, op.provider, id, unwrap(plain(outputs)))


@contextmanager
def passed_on() -> Iterator[None]:
    """libvirt's errors that nobody gave more sense reach the user with libvirt's own text."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise ProviderError(message(error)) from error


def planned(model: type[Model], olds: Properties, news: Properties) -> Properties:
    """Outputs that a plan can promise: the inputs, with absent computed properties, nested ones too, as they were.

    Computed properties that were not there are UNKNOWN.
    """
    result = dict(news)
    for name, shape in shapes(model).items():
        if name not in news:
            if shape.prop.computed:
                result[name] = olds.get(name, UNKNOWN)
        elif shape.model is not None:
            result[name] = _planned_nested(shape, olds.get(name), news[name])
    return result


def _planned_nested(shape: Shape, old: Any, new: Any) -> Any:
    if shape.model is None:
        return new
    if isinstance(new, dict):
        return planned(shape.model, old if isinstance(old, dict) else {}, new)
    if isinstance(new, list):
        before = old if isinstance(old, list) else []
        return [
            _planned_nested(shape, before[index] if index < len(before) else None, item)
            for index, item in enumerate(new)
        ]
    return new


def _known_part(properties: Properties) -> Properties:
    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: v for k, v in node.items() if not isinstance(v, Unknown)}
        return node

    return cast(Properties, walk(properties, clean))


def plain(properties: Properties) -> Properties:
    """The properties without the bookkeeping keys (``__*``) and without nulls, at every level."""

    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: v for k, v in node.items() if not k.startswith("__") and v is not None}
        return node

    return cast(Properties, walk(properties, clean))


def known_texts(value: Any) -> list[str]:
    """The texts in a list of which items, or the whole, may be unknown."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
