"""Base of the lab's components: a stated type token, children that belong to their parent, declared outputs."""

from __future__ import annotations

from typing import Any, ClassVar

import pulumi


class Component(pulumi.ComponentResource):
    """A component whose type token is written in the class; tokens are public names and never change."""

    TOKEN: ClassVar[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TOKEN, name, None, opts)

    def child(self, **options: Any) -> pulumi.ResourceOptions:
        """Options of a child resource: this component is its parent, plus what is stated."""
        return pulumi.ResourceOptions(parent=self, **options)

    def inside(self, machine: pulumi.Resource, **options: Any) -> pulumi.ResourceOptions:
        """Options of a child that lives inside a machine: it goes with that machine.

        To be made again with it, the child has the machine's id among its inputs (ADR 0004).
        """
        return self.child(deleted_with=machine, **options)
