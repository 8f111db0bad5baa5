"""What every libvirt resource has in common: check, diff, previews and reading, from its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

import libvirt

from plugins.libvirt.connection import Hypervisor
from plugins.libvirt.errors import message
from plugins.runtime import bridge
from plugins.runtime.errors import PartialFailure, ProviderError
from plugins.runtime.model import Model
from plugins.runtime.resource import Checked, Difference, Live, Operation, Resource
from plugins.runtime.values import Properties, unwrap, walk

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
        return plain(bridge.planned(self.model, {}, inputs))

    def create(self, op: Operation, inputs: Properties) -> tuple[str, Properties]:
        host = cast(Hypervisor, op.provider)
        known = plain(inputs)
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
        return plain(bridge.planned(self.model, olds, news))

    def update(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Properties:
        outputs = plain(bridge.planned(self.model, olds, news))
        try:
            with passed_on():
                self.change(op, op.provider, id, unwrap(plain(olds)), unwrap(plain(news)))
        except ProviderError as error:
            raise PartialFailure(id, plain(olds), [str(error)]) from error
        return outputs

    def delete(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> None:
        with passed_on():
            self.remove(op, op.provider, id, unwrap(plain(outputs)))


class passed_on:
    """libvirt's errors that nobody gave more sense reach the user with libvirt's own text."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, libvirt.libvirtError):
            raise ProviderError(message(error)) from error


def plain(properties: Properties) -> Properties:
    """The properties without the bookkeeping keys (``__*``) and without nulls, at every level."""

    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: v for k, v in node.items() if not k.startswith("__") and v is not None}
        return node

    return cast(Properties, walk(properties, clean))
