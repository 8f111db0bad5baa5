"""A point in the dependency graph: what depends on it comes after all that it depends on.

Where each of n resources waits for m others, there are n * m dependencies, and Pulumi walks through everything behind
each of them. By way of a barrier there are n + m.
"""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_command as command
from pydantic import Field

from components._base import Args, Component


class BarrierArgs(Args):
    """What a barrier waits for, and what it hands on."""

    command_provider: command.Provider
    after: tuple[pulumi.Resource, ...] = ()
    identities: tuple[pulumi.Output[str], ...] = ()
    """The barrier is replaced, and its id changes, as soon as one of these does."""
    facts: dict[str, Any] | pulumi.Output[dict[str, Any]] = Field(default_factory=dict)


class Barrier(Component[BarrierArgs]):
    """Reached when everything in ``after`` is. It does nothing on any machine."""

    TOKEN = "overlab:index:Barrier"
    id: pulumi.Output[str]
    """Changes with any of ``identities``: for triggers."""
    facts: pulumi.Output[dict[str, Any]]
    """The ``facts`` that it was given, depending on the barrier alone."""

    def __init__(self, name: str, args: BarrierArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.reached = command.local.Command(
            name,
            create="cat",
            stdin=pulumi.Output.json_dumps(args.facts, sort_keys=True),
            triggers=list(args.identities),
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=self.child_options(provider=args.command_provider, depends_on=list(args.after)),
        )
        self.id = self.reached.id
        self.facts = self.reached.stdout.apply(json.loads)
        self.register_outputs({"id": self.id})
