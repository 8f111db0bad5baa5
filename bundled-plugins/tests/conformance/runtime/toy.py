"""A provider for tests of the runtime: what a thing does is set by its input ``mode``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from bundled_plugins.runtime import provider
from bundled_plugins.runtime.compare import changes
from bundled_plugins.runtime.errors import CheckFailure, PartialFailure, ProviderError
from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.resource import Checked, Difference, Operation, Plugin, ReadResult, Resource
from bundled_plugins.runtime.values import UNKNOWN, Properties, unwrap

TOKEN = "toy:index:Thing"
CROWD = 100

_crowd = threading.Barrier(CROWD)


class Nested(Model):
    """A part of a thing."""

    word: str


class ThingInputs(Model):
    """Inputs of a thing."""

    mode: str = "plain"
    word: str | None = None
    part: Nested | None = None
    parts: list[Nested] | None = None


class Thing(Resource):
    """Forgets secrets in its outputs on purpose: keeping them is the runtime's work."""

    token = TOKEN

    def check(self, op: Operation, olds: Properties, news: Properties, autoname: Callable[[int], str]) -> Checked:
        failures = ThingInputs.failures(news, TOKEN)
        if news.get("mode") == "named":
            return Checked(news | {"word": autoname(20)})
        return Checked(news, failures)

    def diff(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Difference:
        if news.get("mode") == "bug":
            raise KeyError("in diff")
        found = changes(old_inputs, news)
        return Difference({path: kind.replacing() if path.startswith("part") else kind for path, kind in found.items()})

    def preview_create(self, op: Operation, inputs: Properties) -> Properties:
        return unwrap(inputs) | {"made": UNKNOWN}  # type: ignore[no-any-return]

    def create(self, op: Operation, inputs: Properties) -> tuple[str, Properties]:
        return "the-id", self._act(op, inputs)

    def read(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> ReadResult | None:
        if id == "gone":
            return None
        return ReadResult(id, unwrap(outputs) | {"seen": True}, unwrap(inputs))

    def preview_update(
        self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties
    ) -> Properties:
        return unwrap(news) | {"made": UNKNOWN}  # type: ignore[no-any-return]

    def update(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Properties:
        return self._act(op, news)

    def delete(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> None:
        self._act(op, inputs)

    def _act(self, op: Operation, inputs: Properties) -> Properties:
        bare = unwrap(inputs)
        outputs: Properties = bare | {"made": op.name}
        mode = bare.get("mode")
        if mode == "fail":
            raise ProviderError(f"refused {op.name}")
        if mode == "long":
            raise ProviderError("start" + "x" * 5_000_000 + "\udcff end")
        if mode == "partial":
            raise PartialFailure("half-id", outputs, ["first reason", "second reason \udcff"])
        if mode == "bug":
            raise KeyError("in action")
        if mode == "wait":
            op.log("info", "waiting", True)
            op.pause(60)
        if mode == "crowd":
            _crowd.wait(30)
        if mode == "limit":
            outputs["remaining"] = round(op.remaining(60))
        if mode == "log":
            op.log("warning", "careful \udcff", False)
            op.log("info", "for now", True)
        return outputs


class Toy(Plugin):
    """The provider."""

    name = "toy"
    version = "1.2.3"
    resources = (Thing,)

    def check_config(self, olds: Properties, news: Properties) -> Checked:
        failures = [CheckFailure("bad", "is bad")] if "bad" in news else []
        return Checked(news, failures)

    def configure(self, args: Properties, variables: Mapping[str, str]) -> Any:
        if args.get("fail"):
            raise ProviderError("cannot be configured")
        return args

    def cancel(self, client: Any) -> None:
        raise RuntimeError("a plugin whose cancel is broken")


def main() -> None:
    provider.main(Toy())


if __name__ == "__main__":
    main()
