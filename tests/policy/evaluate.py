"""Rules asked as the engine asks them: through their policies, with the SDK's own proxies around the values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pulumi_policy import (
    Policy,
    PolicyCustomTimeouts,
    PolicyProviderResource,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY, deserialize_properties
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError, unknown_checking_proxy
from rules import ALL
from rules.pack import policies
from rules.types import CONTAINER

UNKNOWN = UNKNOWN_STRING_VALUE
"""A value that a preview does not know."""


def secret(value: Any) -> Any:
    """A secret, as it is sent."""
    return {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": value}


@dataclass(frozen=True)
class Evaluation:
    """What a rule reported."""

    problems: list[str]
    names: list[str] = field(default_factory=list)
    """Of the resources; stack rules only."""
    unknown: bool = False
    """Something that it asks for was not known."""

    @property
    def text(self) -> str:
        return "\n".join(self.problems)


PASSED = Evaluation([])
DEFERRED = Evaluation([], unknown=True)


@dataclass(frozen=True)
class Declared:
    """A registration; ``needs`` and the values of ``uses`` are names of others."""

    type: str
    name: str
    props: Mapping[str, Any] = field(default_factory=dict)
    needs: Sequence[str] = ()
    uses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Property -> what it comes from."""
    provider: str = "provider"
    delete_before_replace: bool | None = None
    parent: str = ""
    """Type of the component it is part of."""
    child_of: str = ""
    """Name of that component, where a rule asks it."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What a stack policy is sent beside the inputs."""

    @property
    def urn(self) -> str:
        return f"urn:pulumi:dev::test::{self.parent + '$' if self.parent else ''}{self.type}::{self.name}"

    @property
    def options(self) -> PolicyResourceOptions:
        return PolicyResourceOptions(False, [], self.delete_before_replace, [], PolicyCustomTimeouts(0, 0, 0), [])

    @property
    def provider_resource(self) -> PolicyProviderResource:
        urn = f"urn:pulumi:dev::test::pulumi:providers:p::{self.provider}"
        return PolicyProviderResource("pulumi:providers:p", {}, urn, self.provider)


def evaluate(rule: str, type_: str = CONTAINER, *, config: Mapping[str, Any] | None = None, **props: Any) -> Evaluation:
    """The violations of a resource rule by a resource with these (wire) properties."""
    return evaluate_one(rule, Declared(type_, "thing", props), config)


def evaluate_one(rule: str, declared: Declared, config: Mapping[str, Any] | None = None) -> Evaluation:
    """The violations of a resource rule; one that redacts secrets is asked twice, as by the engine."""
    policy = _policy(policies(ALL), rule)
    assert isinstance(policy, ResourceValidationPolicy)
    if policy.has_remediation():
        policy.remediate(arguments(declared, config, secrets=True))
    return _evaluation(policy, arguments(declared, config))


def evaluate_stack(rule: str, *declared: Declared, config: Mapping[str, Any] | None = None) -> Evaluation:
    """The violations of a stack rule, after the resource rules have seen each resource's inputs."""
    pack = policies(ALL)
    any_rule = _policy(pack, "image-pinned")
    assert isinstance(any_rule, ResourceValidationPolicy)
    for one in declared:
        with suppress(UnknownValueError):
            any_rule.validate(arguments(one, None), lambda message, urn: None)
    policy = _policy(pack, rule)
    assert isinstance(policy, StackValidationPolicy)
    return _evaluation(policy, StackValidationArgs(linked(declared), config))


def _policy(pack: Sequence[Policy], name: str) -> Policy:
    [found] = [policy for policy in pack if policy.name == name]
    return found


def arguments(declared: Declared, config: Mapping[str, Any] | None, *, secrets: bool = False) -> ResourceValidationArgs:
    """What a resource policy gets; a remediation gets secrets marked."""
    props = unknown_checking_proxy(deserialize_properties(dict(declared.props), secrets))
    return ResourceValidationArgs(
        declared.type, props, declared.urn, declared.name, declared.options, declared.provider_resource, config
    )


def linked(declared: Sequence[Declared]) -> list[PolicyResource]:
    """The resources of a stack as a stack policy gets them."""
    found = {
        one.urn: PolicyResource(
            one.type,
            unknown_checking_proxy(deserialize_properties({**one.props, **one.outputs})),
            one.urn,
            one.name,
            one.options,
            one.provider_resource,
            None,
            [],
            {},
        )
        for one in declared
    }
    by_name = {one.name: found[one.urn] for one in declared}
    for one in declared:
        resource = found[one.urn]
        resource.parent = by_name[one.child_of] if one.child_of else None
        needs = [*one.needs, *(name for names in one.uses.values() for name in names)]
        resource.dependencies = [by_name[name] for name in dict.fromkeys(needs)]
        resource.property_dependencies = {key: [by_name[n] for n in names] for key, names in one.uses.items()}
    return list(found.values())


def _evaluation(policy: Any, args: Any) -> Evaluation:
    problems: list[str] = []
    names: list[str] = []

    def report(message: str, urn: str | None) -> None:
        problem, _, remedy = message.partition("\nremedy: ")
        assert remedy, f"no remedy in {message!r}"
        problems.append(problem)
        if urn is not None:
            names.append(urn.rpartition("::")[2])

    try:
        policy.validate(args, report)
    except UnknownValueError:
        return Evaluation(problems, names, unknown=True)
    return Evaluation(problems, names)
