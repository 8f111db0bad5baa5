"""Check, diff and refresh as a bridged (Terraform-based) official provider answers them, from a model's metadata.

Facts it reproduces: check fills truthy defaults and lists them in ``__defaults`` at every level; diff compares the
old *outputs* with the new inputs; null, "", 0, false, [] and {} are equal; an absent computed property keeps its
value; sets ignore order; replacing deletes first when the user gave the name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bundled_plugins.runtime.model import Model, Prop, Shape, property_path, shapes
from bundled_plugins.runtime.resource import Checked, Difference, Kind
from bundled_plugins.runtime.values import UNKNOWN, Properties, Secret, Unknown, has_unknown, unwrap

DEFAULTS = "__defaults"


def check(
    model: type[Model], token: str, olds: Properties, news: Properties, autoname: Callable[[int], str]
) -> Checked:
    """Failures of the inputs, or the inputs with defaults filled in."""
    failures = model.failures(news, token)
    if failures:
        return Checked(news, failures)
    return Checked(_with_defaults(model, olds, news, autoname))


def _with_defaults(
    model: type[Model], olds: Properties, news: Properties, autoname: Callable[[int], str]
) -> Properties:
    filled = {key: value for key, value in news.items() if key != DEFAULTS and value is not None}
    defaults: list[str] = []
    old_defaults = _filled_in(olds)
    for name, shape in shapes(model).items():
        if name in filled:
            filled[name] = _nested_defaults(shape, filled[name], autoname)
        elif shape.prop.autoname:
            filled[name] = olds[name] if name in old_defaults and name in olds else autoname(shape.prop.autoname)
            defaults.append(name)
        elif shape.prop.default is not None:
            filled[name] = shape.prop.default
            defaults.append(name)
    return filled | {DEFAULTS: sorted(defaults)}


def _filled_in(inputs: Mapping[str, Any]) -> list[str]:
    """Names of the properties that check filled in."""
    names = inputs.get(DEFAULTS)
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _nested_defaults(shape: Shape, value: Any, autoname: Callable[[int], str]) -> Any:
    if isinstance(value, Secret):
        return Secret(_nested_defaults(shape, value.value, autoname))
    if shape.model is None:
        return value
    if shape.many and isinstance(value, list):
        return [_with_defaults(shape.model, {}, item, autoname) if isinstance(item, dict) else item for item in value]
    return _with_defaults(shape.model, {}, value, autoname) if isinstance(value, dict) else value


def diff(model: type[Model], olds: Properties, news: Properties) -> Difference:
    """Changes from the old outputs to the new inputs; ``news`` must come from :func:`check`."""
    difference = Difference()
    _compare_object(model, unwrap(olds), unwrap(news), (), difference)
    named_by_user = "name" not in _filled_in(news)
    difference.delete_before_replace = bool(difference.replaces) and "name" in news and named_by_user
    return difference


def _compare_object(
    model: type[Model],
    olds: Mapping[str, Any],
    news: Mapping[str, Any],
    path: tuple[int | str, ...],
    found: Difference,
) -> None:
    for name, shape in shapes(model).items():
        _compare_property(shape, olds.get(name), news.get(name), (*path, name), found)


def _compare_property(shape: Shape, old: Any, new: Any, path: tuple[int | str, ...], found: Difference) -> None:
    prop = shape.prop
    replace = prop.replace
    if isinstance(new, Unknown):
        _note(found, path, Kind.ADD if _absent(old) else Kind.UPDATE, replace)
    elif zero(new):
        if prop.computed and new is None:
            return
        if not zero(old) and not _suppressed(prop, old, new):
            _note(found, path, Kind.DELETE if _absent(new) else Kind.UPDATE, replace or _forces(shape.model, old))
    elif _suppressed(prop, old, new):
        return
    elif zero(old):
        _note(found, path, Kind.ADD if _absent(old) else Kind.UPDATE, replace or _forces(shape.model, new))
    elif shape.many and isinstance(old, list) and isinstance(new, list):
        _compare_list(shape, old, new, path, found, replace)
    elif shape.model is not None and isinstance(old, dict) and isinstance(new, dict):
        _compare_object(shape.model, old, new, path, found)
    elif shape.mapping and isinstance(old, dict) and isinstance(new, dict):
        _compare_mapping(old, new, path, found, replace)
    elif old != new:
        _note(found, path, Kind.UPDATE, replace)


def _compare_list(
    shape: Shape, old: Any, new: Any, path: tuple[int | str, ...], found: Difference, replace: bool
) -> None:
    if shape.prop.unordered:
        if not has_unknown(new) and _as_set(shape, old) == _as_set(shape, new):
            return
        known = _as_set(shape, old)
        before = len(found.paths)
        for index, item in enumerate(new):
            if has_unknown(item) or _canonical(shape.model, item) not in known:
                _note(found, (*path, index), Kind.UPDATE if index < len(old) else Kind.ADD, replace)
        for index in range(len(new), len(old)):
            _note(found, (*path, index), Kind.DELETE, replace)
        if len(found.paths) == before:
            _note(found, path, Kind.UPDATE, replace)
        return
    for index in range(max(len(old), len(new))):
        here = (*path, index)
        if index >= len(new):
            _note(found, here, Kind.DELETE, replace or _forces(shape.model, old[index]))
        elif index >= len(old):
            _note(found, here, Kind.ADD, replace or _forces(shape.model, new[index]))
        elif isinstance(new[index], Unknown):
            _note(found, here, Kind.UPDATE, replace)
        elif shape.model is not None and isinstance(old[index], dict) and isinstance(new[index], dict):
            _compare_object(shape.model, old[index], new[index], here, found)
        elif old[index] != new[index]:
            _note(found, here, Kind.UPDATE, replace)


def _forces(model: type[Model] | None, value: Any) -> bool:
    """Whether a block that comes or goes as a whole has a property in it whose change replaces."""
    if model is None or isinstance(value, Unknown):
        return False
    if isinstance(value, list):
        return any(_forces(model, item) for item in value)
    if not isinstance(value, dict):
        return False
    return any(
        not zero(value.get(name)) and (shape.prop.replace or _forces(shape.model, value[name]))
        for name, shape in shapes(model).items()
    )


def _compare_mapping(old: Any, new: Any, path: tuple[int | str, ...], found: Difference, replace: bool) -> None:
    for key in sorted({*old, *new}):
        if key not in new:
            _note(found, (*path, key), Kind.DELETE, replace)
        elif key not in old:
            _note(found, (*path, key), Kind.ADD, replace)
        elif isinstance(new[key], Unknown) or old[key] != new[key]:
            _note(found, (*path, key), Kind.UPDATE, replace)


def _note(found: Difference, path: tuple[int | str, ...], kind: Kind, replace: bool) -> None:
    found.paths[property_path(path)] = kind.replacing() if replace else kind


def _suppressed(prop: Prop, old: Any, new: Any) -> bool:
    if prop.same is None or has_unknown(new):
        return False
    try:
        return prop.same(old, new)
    except (AttributeError, LookupError, TypeError, ValueError):
        return False  # the state holds a value of another shape


def zero(value: Any) -> bool:
    """Whether the bridge takes the value as absent."""
    return not isinstance(value, Unknown) and (value is None or value in ("", 0, False) or value == [] or value == {})


def _absent(value: Any) -> bool:
    """Whether there is nothing at all, so that a change adds or deletes (false, 0 and "" are something)."""
    return value is None or value == [] or value == {}


def _as_set(shape: Shape, items: Any) -> set[str]:
    return {_canonical(shape.model, item) for item in items}


def _canonical(model: type[Model] | None, item: Any) -> str:
    if model is None or not isinstance(item, dict):
        return repr(item)
    members = []
    for name, shape in sorted(shapes(model).items()):
        value = item.get(name)
        if zero(value):
            value = None if zero(shape.prop.default) or value is not None else shape.prop.default
        if isinstance(value, list):
            elements = [_canonical(shape.model, element) for element in value]
            value = sorted(elements) if shape.prop.unordered else elements
        elif shape.model is not None:
            value = _canonical(shape.model, value)
        elif shape.mapping and isinstance(value, dict):
            value = sorted(value.items())
        members.append((name, value))
    return repr(members)


def preview_outputs(
    model: type[Model], olds: Properties, news: Properties, outputs_only: tuple[str, ...] = ()
) -> Properties:
    """Outputs that a plan can promise, at every level: the inputs; of what they leave out, the old values that the
    provider keeps. Computed properties and ``outputs_only`` without an old value are UNKNOWN.
    """
    result = dict(news)
    for name, shape in shapes(model).items():
        old = olds.get(name)
        if name in news:
            result[name] = _preview_nested(shape, old, news[name])
        elif shape.prop.computed:
            result[name] = olds.get(name, UNKNOWN)
        elif name in olds and (zero(unwrap(old)) or _suppressed(shape.prop, unwrap(old), None)):
            result[name] = old
    for name in outputs_only:
        result[name] = olds.get(name, UNKNOWN)
    return result


def _preview_nested(shape: Shape, old: Any, new: Any) -> Any:
    if shape.model is None or shape.prop.unordered:
        return new
    if isinstance(new, dict):
        return preview_outputs(shape.model, old if isinstance(old, dict) else {}, new)
    if isinstance(new, list):
        before = old if isinstance(old, list) else []
        return [
            _preview_nested(shape, before[index] if index < len(before) else None, item)
            for index, item in enumerate(new)
        ]
    return new


def keep_known_order(model: type[Model], known: Properties, live: Properties) -> Properties:
    """The live properties with every set in the order that was known before, where its elements are the same."""
    result = dict(live)
    for name, shape in shapes(model).items():
        before, now = known.get(name), live.get(name)
        if not isinstance(before, list) or not isinstance(now, list) or before == now:
            continue
        if shape.prop.unordered and _as_set(shape, before) == _as_set(shape, now):
            result[name] = before
    return result


def refreshed_inputs(model: type[Model], inputs: Properties, outputs: Properties) -> Properties:
    """Inputs after a refresh: keys that the program gave take the live value, all others stay out."""
    if not inputs:
        return _imported(model, outputs)
    result: Properties = {}
    defaults = set(_filled_in(inputs))
    for key, old in inputs.items():
        if key == DEFAULTS or key not in outputs:
            continue
        new = _merged(old, outputs[key])
        result[key] = Secret(unwrap(new)) if isinstance(old, Secret) else new
        if key in defaults and unwrap(new) != unwrap(old):
            defaults.discard(key)
    return result | {DEFAULTS: sorted(defaults)}


def _merged(old: Any, new: Any) -> Any:
    """The live value with the keys, and where equal the very values, that the program gave."""
    bare_old, bare_new = unwrap(old), unwrap(new)
    if zero(bare_old) and zero(bare_new):
        return old
    if isinstance(bare_old, dict) and isinstance(bare_new, dict):
        merged = {k: _merged(v, bare_new[k]) for k, v in bare_old.items() if k in bare_new}
        return merged | {DEFAULTS: bare_old[DEFAULTS]} if DEFAULTS in bare_old else merged
    if isinstance(bare_old, list) and isinstance(bare_new, list) and len(bare_old) == len(bare_new):
        return [_merged(o, n) for o, n in zip(bare_old, bare_new, strict=True)]
    return bare_new


def _imported(model: type[Model], outputs: Properties) -> Properties:
    result: Properties = {}
    for name, shape in shapes(model).items():
        value = outputs.get(name)
        if not zero(unwrap(value)) and unwrap(value) != shape.prop.default:
            result[name] = value
    return result | {DEFAULTS: []}
