"""From rules to the SDK's policies: the one module that knows the SDK."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY, serialize_properties
from pulumi_policy.proxy import UnknownValueError, unknown_checking_proxy

from .rule import Parameters, Resource, ResourceRule, Rule, Stack, StackRule

_SECRETS_UNMARKED = (
    "; at this enforcement level policies cannot distinguish a secret from a plain value:"
    " set it to remediate (nothing is changed, and a violation is mandatory)"
)


def policies(rules: Sequence[Rule]) -> list[Policy]:
    """A policy for each rule. They share what was declared, so that stack rules evaluate inputs.

    The engine sends a stack policy outputs, among which an input that was left out may stand as unknown.
    """
    declared: dict[str, Mapping[str, Any]] = {}
    return [
        _OfResource(rule, declared) if isinstance(rule, ResourceRule) else _OfStack(rule, declared) for rule in rules
    ]


class _OfResource(ResourceValidationPolicy):
    def __init__(self, rule: ResourceRule, declared: dict[str, Mapping[str, Any]]) -> None:
        super().__init__(
            rule.name,
            rule.reason,
            enforcement_level=EnforcementLevel.REMEDIATE if rule.redacts_secrets else rule.level,
            config_schema=_schema(rule),
            remediation_steps=rule.remedy,
        )
        self._rule = rule
        self._declared = declared
        self._redacted: dict[str, tuple[list[str], list[UnknownValueError]]] = {}
        """URN -> the resource's violations, found while secrets were marked, and what was unknown."""

    def has_remediation(self) -> bool:
        return self._rule.redacts_secrets

    def remediate(self, args: ResourceValidationArgs) -> None:
        """Evaluate the rule while secrets are marked. Changes nothing."""
        if self._rule.redacts_secrets and self._concerns(args.resource_type):
            props = unknown_checking_proxy(_without_secrets(serialize_properties(args.props)))
            resource = Resource(args.resource_type, args.name, args.urn, props)
            problems = list(self._rule.predicate(resource, self._parameters(args)))
            self._redacted[args.urn] = (problems, resource.unknown)

    def validate(self, args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
        self._declared[args.urn] = args.props
        if not self._concerns(args.resource_type):
            return
        resource = Resource(
            type=args.resource_type,
            name=args.name,
            urn=args.urn,
            props=args.props,
            delete_before_replace=args.opts.delete_before_replace,
            provider=args.provider.urn if args.provider else "",
        )
        for problem in self._problems(resource, self._parameters(args)):
            report_violation(_message(problem, self._rule), None)
        _defer([resource])

    def _problems(self, resource: Resource, parameters: Parameters) -> Iterator[str]:
        if not self._rule.redacts_secrets:
            yield from self._rule.predicate(resource, parameters)
        elif resource.urn in self._redacted:
            problems, unknown = self._redacted.pop(resource.urn)
            yield from problems
            resource.unknown.extend(unknown)
        else:
            yield from (problem + _SECRETS_UNMARKED for problem in self._rule.predicate(resource, parameters))

    def _concerns(self, resource_type: str) -> bool:
        return not self._rule.types or resource_type in self._rule.types

    def _parameters(self, args: ResourceValidationArgs) -> Parameters:
        return _parameters(self._rule, args.get_config())


class _OfStack(StackValidationPolicy):
    def __init__(self, rule: StackRule, declared: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(
            rule.name,
            rule.reason,
            enforcement_level=rule.level,
            config_schema=_schema(rule),
            remediation_steps=rule.remedy,
        )
        self._rule = rule
        self._declared = declared

    def validate(self, args: StackValidationArgs, report_violation: ReportViolation) -> None:
        # The engine sends them in no fixed order.
        resources = sorted(args.resources, key=lambda resource: resource.urn)
        stack = Stack([self._resource(resource) for resource in resources])
        for resource, problem in self._rule.predicate(stack, _parameters(self._rule, args.get_config())):
            report_violation(_message(problem, self._rule), resource.urn)
        _defer(stack.resources)

    def _resource(self, resource: PolicyResource) -> Resource:
        return Resource(
            type=resource.resource_type,
            name=resource.name,
            urn=resource.urn,
            props=self._declared.get(resource.urn, resource.props),
            delete_before_replace=resource.opts.delete_before_replace,
            provider=resource.provider.urn if resource.provider else "",
            parent=resource.parent.urn if resource.parent else "",
            dependencies=[other.urn for other in resource.dependencies],
            property_dependencies={
                key: [other.urn for other in others] for key, others in resource.property_dependencies.items()
            },
        )


def _defer(resources: Sequence[Resource]) -> None:
    """Raise the first value that was not known: the SDK reports it, and ``up`` evaluates the rule again."""
    for resource in resources:
        if resource.unknown:
            raise resource.unknown[0]


def _message(problem: str, rule: Rule) -> str:
    return f"{problem}\nremedy: {rule.remedy}"


def _schema(rule: Rule) -> PolicyConfigSchema | None:
    if not rule.parameters:
        return None
    return PolicyConfigSchema({name: dict(schema) for name, schema in rule.parameters.items()})


def _parameters(rule: Rule, configured: Mapping[str, Any]) -> Parameters:
    return {name: configured.get(name, schema["default"]) for name, schema in rule.parameters.items()}


def _without_secrets(value: Any) -> Any:
    """The properties in the engine's notation, without those that are marked as secret."""
    if isinstance(value, Mapping):
        kept = {k: v for k, v in value.items() if not (isinstance(v, Mapping) and _is_secret(v))}
        return {key: _without_secrets(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value if not (isinstance(item, Mapping) and _is_secret(item))]
    return value


def _is_secret(value: Mapping[str, Any]) -> bool:
    return value.get(SPECIAL_SIG_KEY) == SPECIAL_SECRET_SIG
