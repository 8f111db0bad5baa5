"""Inputs as models: what is refused, where, and in which words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from bundled_plugins.runtime.model import Model, Prop, shapes
from bundled_plugins.runtime.values import UNKNOWN, Secret
from hypothesis import given
from pydantic import Field, field_validator

from conformance.runtime import strategies

pytestmark = pytest.mark.bundled_only("internals")

TOKEN = "x:index:X"


class Part(Model):
    """A nested object."""

    unsupported = ("color",)

    name: str
    size_mib: int | None = None


class Everything(Model):
    """Every shape of property."""

    word: Annotated[str | None, Prop(replace=True)] = None
    number: int | None = None
    ratio: float | None = None
    flag: bool | None = None
    kind: Literal["a", "b"] | None = None
    pattern: Annotated[str | None, Field(pattern="^x")] = None
    part: Part | None = None
    parts: list[Part] | None = None
    words: Annotated[list[str] | None, Field(min_length=2)] = None
    settings: dict[str, str] | None = None
    either: int | list[str] | None = None
    anything: Any = None
    port: int | None = None

    @field_validator("port")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if isinstance(value, int) and value > 9:
            raise ValueError(f"{value} is too much")
        return value


def failures(properties: dict[str, Any]) -> dict[str, str]:
    return {failure.property: failure.reason for failure in Everything.failures(properties, TOKEN)}


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"word": None},
        {"ratio": 3},
        {"number": UNKNOWN, "part": UNKNOWN, "parts": UNKNOWN, "words": UNKNOWN, "settings": UNKNOWN},
        {"either": UNKNOWN, "anything": UNKNOWN},
        {"part": {"name": UNKNOWN}},
        {"parts": [UNKNOWN, {"name": UNKNOWN, "sizeMib": UNKNOWN}]},
        {"words": [UNKNOWN]},
        {"words": ["a", UNKNOWN]},
        {"settings": {"A": UNKNOWN}},
        {"settings": {"A": UNKNOWN, "B": "b", "__C": "kept"}},
        {"either": ["a", UNKNOWN]},
        {"kind": UNKNOWN, "pattern": UNKNOWN, "port": UNKNOWN},
        {"word": Secret("s"), "part": Secret({"name": Secret("n")}), "parts": [Secret({"name": "x"})]},
        {"__defaults": ["word"], "part": {"name": "x", "__defaults": []}},
        {"part": {"name": "x", "sizeMib": None}},
    ],
)  # fmt: skip
def test_taken(properties: dict[str, Any]) -> None:
    assert failures(properties) == {}


@pytest.mark.parametrize(
    ("properties", "found"),
    [
        ({"word": 1}, {"word": "Input should be a valid string (got 1)"}),
        ({"word": True}, {"word": "Input should be a valid string (got True)"}),
        ({"number": "3"}, {"number": "Input should be a valid integer (got str)"}),
        ({"number": True}, {"number": "Input should be a valid integer (got True)"}),
        ({"number": 1.5}, {"number": "Input should be a valid integer (got 1.5)"}),
        ({"kind": "c"}, {"kind": "Input should be 'a' or 'b' (got str)"}),
        ({"port": 10}, {"port": "10 is too much"}),
        ({"part": {}}, {"part.name": "Missing required property 'part.name'"}),
        ({"part": {"name": None}}, {"part.name": "Missing required property 'part.name'"}),
        ({"parts": [UNKNOWN, {"name": 1}]}, {"parts[1].name": "Input should be a valid string (got 1)"}),
        ({"parts": [UNKNOWN, {"name": "a"}, 7]},
         {"parts[2]": "Input should be a valid dictionary or instance of Part (got 7)"}),
        ({"words": ["a", UNKNOWN, 2]}, {"words[2]": "Input should be a valid string (got 2)"}),
        ({"words": ["a"]}, {"words": "List should have at least 2 items after validation, not 1 (got list)"}),
        ({"settings": {"A": UNKNOWN, "b c": 1}}, {'settings["b c"]': "Input should be a valid string (got 1)"}),
        ({"either": [UNKNOWN, 1]},
         {"either": "Input should be a valid integer (got list)",
          "either[1]": "Input should be a valid string (got 1)"}),
        ({"number": "1", "flag": 0, "word": []},
         {"number": "Input should be a valid integer (got str)", "flag": "Input should be a valid boolean (got 0)",
          "word": "Input should be a valid string (got list)"}),
    ],
)  # fmt: skip
def test_refused(properties: dict[str, Any], found: dict[str, str]) -> None:
    assert failures(properties) == found


@pytest.mark.parametrize(
    ("properties", "path"),
    [
        ({"part": {"name": "x", "color": 1}}, "part.color"),
        ({"parts": [{"name": "x"}, Secret({"name": "x", "color": UNKNOWN})]}, "parts[1].color"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(properties: dict[str, Any], path: str) -> None:
    assert failures(properties) == {
        path: f"'{path}' is not supported by the bundled plugin for {TOKEN}; remove it, or use the official plugin"
    }


@pytest.mark.parametrize(
    ("properties", "path"), [({"wrod": 1}, "wrod"), ({"part": {"name": "x", "size_mib": 1}}, "part.size_mib")]
)
def test_what_no_provider_has_is_refused_with_another_reason(properties: dict[str, Any], path: str) -> None:
    assert failures(properties) == {path: f"'{path}' is no property of {TOKEN}; check its spelling"}


def test_python_names_are_no_wire_names() -> None:
    assert set(failures({"part": {"name": "x", "size_mib": 1}})) == {"part.size_mib"}


def test_secrets_are_not_shown() -> None:
    found = failures({"word": Secret(4711), "port": Secret(4712), "part": Secret({"name": 4713})})
    assert set(found) == {"word", "port", "part.name"}
    assert "471" not in "".join(found.values())
    assert found["port"] == "[secret] is too much"


def test_parsed_is_bare_and_known() -> None:
    parsed = Everything.parse(
        {
            "word": Secret("s"),
            "parts": [UNKNOWN, {"name": "x"}],
            "settings": {"A": UNKNOWN, "B": "b"},
            "number": UNKNOWN,
        }
    )
    assert parsed.word == "s"
    assert parsed.parts == [Part(name="x")]
    assert parsed.settings == {"B": "b"}
    assert parsed.number is UNKNOWN  # type: ignore[comparison-overlap]


def test_shapes_follow_from_the_wire_types() -> None:
    found = shapes(Everything)
    assert found["word"].prop.replace
    assert found["part"].model is Part
    assert (found["parts"].model, found["parts"].many) == (Part, True)
    assert found["settings"].mapping
    assert shapes(Part)["sizeMib"].name == "sizeMib"
    assert shapes(Part)["name"].required
    assert not found["word"].required


@given(strategies.properties)
def test_no_bag_crashes_a_check(properties: dict[str, Any]) -> None:
    for failure in Everything.failures(properties, TOKEN):
        assert failure.property
        assert failure.reason


@given(strategies.values, strategies.values, strategies.values)
def test_no_value_crashes_the_check_of_a_property(first: Any, second: Any, third: Any) -> None:
    bags: list[dict[str, Any]] = [dict.fromkeys(shapes(Everything), first), {"parts": [first, second, {"name": third}]}]
    for bag in [*bags, {"settings": {"a": first, "b": second}}, {"part": {"name": first, "sizeMib": second}}]:
        Everything.failures(bag, TOKEN)
