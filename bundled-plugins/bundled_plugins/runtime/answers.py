"""Answers to the engine, from what resources return."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from pulumi.runtime.proto import provider_pb2

from bundled_plugins.runtime.errors import CheckFailure, ProviderError
from bundled_plugins.runtime.resource import Difference
from bundled_plugins.runtime.values import Properties, Secret, Value, encode, has_secret, unwrap

MAX_ERROR_CHARS = 256 * 1024
"""An error travels in a gRPC trailer, of which the engine takes 16 MB, percent-encoded."""

MAX_REASON_CHARS = 2000
"""A refusal is read by a person, and often repeats the value."""


def transportable(text: str, limit: int = MAX_ERROR_CHARS) -> str:
    """The text as it fits into a gRPC answer, or its trailer: valid UTF-8, a long one without its middle."""
    left_out = len(text) - limit
    if left_out > 0:
        half = limit // 2
        text = f"{text[:half]}\n... [{left_out} characters left out] ...\n{text[-half:]}"
    return text.encode("utf-8", "replace").decode()


def keep_secrets(inputs: Properties, outputs: Properties) -> Properties:
    """Outputs in which whatever was secret among the inputs is secret again."""
    return {key: _marked(inputs.get(key), value) for key, value in outputs.items()}


def _marked(model: Value, value: Value) -> Value:
    """``value`` with the secrets of ``model``: at the same places, or as a whole where a list has changed."""
    if isinstance(value, Secret) or not has_secret(model):
        return value
    if isinstance(model, dict) and isinstance(value, dict):
        return {key: _marked(model.get(key), item) for key, item in value.items()}
    if isinstance(model, list) and isinstance(value, list) and unwrap(model) == unwrap(value):
        return [_marked(before, item) for before, item in zip(model, value, strict=True)]
    return Secret(unwrap(value))


def autoname(request: Any) -> Callable[[int], str]:
    """Generator of a stable name of at most so many characters, as the engine's options for the resource want it."""

    def name(limit: int) -> str:
        options = request.autonaming if request.HasField("autonaming") else None
        if options is not None and options.mode == options.ENFORCE:
            return str(options.proposed_name)
        if options is not None and options.mode == options.DISABLE:
            raise ProviderError(f"{request.urn}: autonaming is disabled and no name was given")
        if options is not None and options.proposed_name:
            return str(options.proposed_name)
        base = request.name or request.urn.rsplit("::", 1)[-1]
        suffix = hashlib.sha256(request.randomSeed + base.encode()).hexdigest()[:7]
        return f"{base[: limit - 8]}-{suffix}"

    return name


def check_response(inputs: Properties, found: list[CheckFailure]) -> Any:
    """Answer of Check and CheckConfig."""
    refused = [
        provider_pb2.CheckFailure(property=failure.property, reason=transportable(failure.reason, MAX_REASON_CHARS))
        for failure in found
    ]
    return provider_pb2.CheckResponse(inputs=encode(inputs), failures=refused)


def diff_response(difference: Difference) -> Any:
    """Answer of Diff."""
    response = provider_pb2.DiffResponse
    detailed = {
        path: provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(kind.value))
        for path, kind in difference.paths.items()
    }
    return response(
        changes=response.DIFF_SOME if detailed else response.DIFF_NONE,
        detailedDiff=detailed,
        hasDetailedDiff=True,
        diffs=sorted({_top(path) for path in detailed}),
        replaces=sorted({_top(path) for path in difference.replaces}),
        deleteBeforeReplace=difference.delete_before_replace,
    )


def _top(path: str) -> str:
    """The top-level key of a property path: of ``a.b[0]`` it is ``a``, of ``["odd key"].x`` it is ``odd key``."""
    if not path.startswith('["'):
        return re.split(r"[.\[]", path, maxsplit=1)[0]
    quoted = re.match(r'\["((?:[^"\\]|\\.)*)"\]', path)
    return re.sub(r"\\(.)", r"\1", quoted.group(1)) if quoted else path
