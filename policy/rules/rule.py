"""What a rule is: a pure predicate with its reason and its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any

from pulumi_policy import EnforcementLevel
from pulumi_policy.proxy import UnknownValueError

Parameters = Mapping[str, Any]


class DeferringUnknowns:
    """Swallows ``UnknownValueError`` into a list."""

    def __init__(self, unknown: list[UnknownValueError]) -> None:
        self._unknown = unknown

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, UnknownValueError):
            self._unknown.append(error)
            return True
        return False


@dataclass(frozen=True)
class Resource:
    """A declared resource. Reading a property that a preview does not know yet raises ``UnknownValueError``."""

    type: str
    name: str
    urn: str
    props: Mapping[str, Any]
    """The inputs, as checked by the provider; secrets in plain text."""
    delete_before_replace: bool | None = None
    provider: str = ""
    """URN of the provider; empty for components and providers."""
    parent: str = ""
    dependencies: Sequence[str] = ()
    """URNs; known to stack rules only, like ``parent`` and ``property_dependencies``."""
    property_dependencies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unknown: list[UnknownValueError] = field(default_factory=list, compare=False)
    """What a predicate could not see; it is evaluated again, before anything is created, when it is known."""

    @property
    def parent_type(self) -> str:
        """Type token of the component that it is a child of, as its URN has it; empty where it is none's."""
        types = self.urn.split("::")[2].split("$")
        return types[-2] if len(types) > 1 else ""

    def deferring_unknowns(self) -> DeferringUnknowns:
        """A block in which an unknown value is noted and ends the block, so that the rest is evaluated all the same."""
        return DeferringUnknowns(self.unknown)

    def each(self, key: str) -> Iterator[Any]:
        """The items of a list property; unknown ones are deferred.

        For what no item may be. For what one must be, read the list itself: an unknown one has no items here.
        """
        items: Sequence[Any] = ()
        with self.deferring_unknowns():
            items = self.props.get(key) or ()
        for index in range(len(items)):
            item = None
            with self.deferring_unknowns():
                item = items[index]
            if item is not None:
                yield item


@dataclass(frozen=True)
class Stack:
    """All resources of a stack, and how they depend on each other."""

    resources: Sequence[Resource]

    @cached_property
    def by_urn(self) -> Mapping[str, Resource]:
        return {resource.urn: resource for resource in self.resources}

    @cached_property
    def _by_type(self) -> Mapping[str, Sequence[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self.resources:
            found.setdefault(resource.type, []).append(resource)
        return found

    def of(self, *types: str) -> list[Resource]:
        """The resources of these types."""
        return [resource for type_ in types for resource in self._by_type.get(type_, ())]

    def before(self, resource: Resource) -> set[str]:
        """URNs of everything that the resource comes after, at any remove."""
        return _reach([resource.urn], self._needs)

    def after(self, *resources: Resource) -> set[str]:
        """URNs of everything that comes after one of the resources, at any remove. Linear in the stack's size."""
        return _reach([resource.urn for resource in resources], self._needed_by)

    @cached_property
    def _needs(self) -> Mapping[str, Sequence[str]]:
        return {
            resource.urn: [*resource.dependencies, *([resource.provider] if resource.provider else [])]
            for resource in self.resources
        }

    @cached_property
    def _needed_by(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for urn, needs in self._needs.items():
            for other in needs:
                found.setdefault(other, []).append(urn)
        return found


@dataclass(frozen=True)
class ResourceRule:
    """A rule about one resource. ``predicate`` yields what is wrong with it, a sentence each."""

    name: str
    reason: str
    remedy: str
    types: Sequence[str]
    """Type tokens that it applies to; none: all."""
    predicate: Callable[[Resource, Parameters], Iterator[str]]
    level: EnforcementLevel = EnforcementLevel.MANDATORY
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> JSON schema with a default."""
    redacts_secrets: bool = False
    """The predicate gets the properties with secret values left out. Such a rule has the level REMEDIATE, since the
    SDK marks secrets for remediations only; a violation is mandatory at that level."""


@dataclass(frozen=True)
class StackRule:
    """A rule about the whole stack. ``predicate`` yields what is wrong, and with which resource."""

    name: str
    reason: str
    remedy: str
    predicate: Callable[[Stack, Parameters], Iterator[tuple[Resource, str]]]
    level: EnforcementLevel = EnforcementLevel.MANDATORY
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


Rule = ResourceRule | StackRule


def flag(name: str, description: str) -> dict[str, Mapping[str, Any]]:
    """A parameter that is off by default."""
    return {name: {"type": "boolean", "default": False, "description": description}}


def items(name: str, default: Sequence[Any], description: str, type_: str = "string") -> dict[str, Mapping[str, Any]]:
    """A parameter that is a list."""
    return {name: {"type": "array", "items": {"type": type_}, "default": [*default], "description": description}}


def _reach(start: Sequence[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(start)
    while todo:
        for urn in edges.get(todo.pop(), ()):
            if urn not in seen:
                seen.add(urn)
                todo.append(urn)
    return seen
