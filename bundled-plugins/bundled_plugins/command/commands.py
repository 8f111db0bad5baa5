"""The lifecycle of a command resource, local or remote: which command runs when, and what of it is kept."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from bundled_plugins.command.client import Running, running
from bundled_plugins.command.output import Capture, Logging, go_quote
from bundled_plugins.runtime.compare import changes
from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.resource import Checked, Difference, Operation, ReadResult, Resource
from bundled_plugins.runtime.values import UNKNOWN, Properties, unwrap

#: A process's environment cannot hold a longer string (Linux: MAX_ARG_STRLEN, 32 pages with the terminating zero).
LONGEST_VARIABLE: Final = 128 * 1024 - 1

PREVIOUS: Final = {"PULUMI_COMMAND_STDOUT": "stdout", "PULUMI_COMMAND_STDERR": "stderr"}


OUTPUTS: Final = ("stdout", "stderr")


class CommandInputs(Model):
    """Inputs of every command resource."""

    create: str | None = None
    update: str | None = None
    delete: str | None = None
    triggers: list[Any] | None = None
    stdin: str | None = None
    environment: dict[str, str] | None = None
    logging: Logging = "stdoutAndStderr"
    add_previous_output_in_env: bool = True


@dataclass(frozen=True)
class Result:
    """What a command printed."""

    stdout: str = ""
    stderr: str = ""

    @property
    def outputs(self) -> Properties:
        return {"stdout": self.stdout, "stderr": self.stderr}


class InputDiffResource(Resource):
    """A resource that compares inputs with inputs, replaces on triggers only, and never reads what it manages."""

    model: ClassVar[type[Model]]

    def complete(self, inputs: Properties) -> Properties:
        """The inputs with defaults."""
        return inputs

    def check(self, op: Operation, olds: Properties, news: Properties, autoname: Callable[[int], str]) -> Checked:
        failures = self.model.failures(news, self.token)
        return Checked(news, failures) if failures else Checked(self.complete(news))

    def diff(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Difference:
        found = changes(old_inputs, news)
        replacing = {path for path in found if path == "triggers" or path.startswith("triggers[")}
        return Difference({path: kind.replacing() if path in replacing else kind for path, kind in found.items()})

    def read(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> ReadResult | None:
        return ReadResult(id, outputs, inputs)


class Command(InputDiffResource):
    """Runs ``create``; on a change ``update`` (else ``create`` again); at the end ``delete``."""

    model: ClassVar[type[CommandInputs]]

    def run(self, run: Running, inputs: Any, command: str, previous: dict[str, str]) -> Result:
        """Run one command with the environment of a ``previous`` run; ProviderError if it fails."""
        raise NotImplementedError

    def preview_create(self, op: Operation, inputs: Properties) -> Properties:
        return inputs | dict.fromkeys(OUTPUTS, UNKNOWN)

    def create(self, op: Operation, inputs: Properties) -> tuple[str, Properties]:
        result = self._run(op, inputs, "create", {})
        return f"{op.name}{secrets.token_hex(4)}", inputs | result.outputs

    def preview_update(
        self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties
    ) -> Properties:
        return news | dict.fromkeys(OUTPUTS, UNKNOWN)

    def update(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Properties:
        which: Literal["create", "update"] = "create" if news.get("update") is None else "update"
        return news | self._run(op, news, which, olds).outputs

    def delete(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> None:
        self._run(op, inputs, "delete", outputs)

    def _run(
        self, op: Operation, inputs: Properties, which: Literal["create", "update", "delete"], olds: Properties
    ) -> Result:
        parsed = self.model.parse(inputs)
        command: str | None = getattr(parsed, which)
        with running(op, inputs, olds) as run:
            if command is None:
                return Result()
            return self.run(run, parsed, command, _previous(parsed, run, olds))


def failure(run: Running, why: str, command: str, capture: Capture) -> str:
    """The error text of a command: why it failed, which it was, what it printed."""
    # Masked before it is quoted: the quotes' escapes would hide a secret from the mask.
    return f"{why}: running {go_quote(run.mask(command))}:\n{capture.quoted()}"


def _previous(inputs: CommandInputs, run: Running, olds: Properties) -> dict[str, str]:
    if not inputs.add_previous_output_in_env:
        return {}
    found: dict[str, str] = {}
    for variable, output in PREVIOUS.items():
        value = unwrap(olds.get(output))
        if not isinstance(value, str) or not value:
            continue
        size = len(variable) + 1 + len(value.encode())
        if size > LONGEST_VARIABLE or "\0" in value:
            run.log(
                "warning",
                f"{variable} is left out of the command's environment: the previous {output} "
                + ("holds a NUL byte" if "\0" in value else f"has {size} bytes, a variable at most {LONGEST_VARIABLE}")
                + "; set addPreviousOutputInEnv to false to silence this",
            )
            continue
        found[variable] = value
    return found
