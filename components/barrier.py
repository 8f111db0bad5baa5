"""A point in the order of things: what comes after it comes after all that it waits for.

Where each of n resources waits for m others, there are n * m dependencies, and Pulumi walks through everything behind
each of them. By way of a barrier there are n + m.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_command as command

from components._base import Component


class Barrier(Component):
    """Reached when everything in ``after`` is there. It does nothing on any machine."""

    TOKEN = "overlab:index:Barrier"
    id: pulumi.Output[str]
    """Another one as soon as one of ``identities`` is: for triggers."""
    facts: pulumi.Output[dict[str, Any]]
    """The ``facts`` that it was given, depending on the barrier alone."""

    def __init__(
        self,
        name: str,
        provider: command.Provider,
        *,
        after: Sequence[pulumi.Resource] = (),
        identities: Sequence[pulumi.Output[str]] = (),
        facts: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, opts)
        self.reached = command.local.Command(
            name,
            create="cat",
            stdin=pulumi.Output.json_dumps({} if facts is None else facts, sort_keys=True),
            triggers=list(identities),
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=self.child(provider=provider, depends_on=list(after)),
        )
        self.id = self.reached.id
        self.facts = self.reached.stdout.apply(json.loads)
        self.register_outputs({"id": self.id})
