"""Property values of every kind, for property-based tests."""

from __future__ import annotations

from typing import Any

from bundled_plugins.runtime.values import UNKNOWN, Archive, Asset, Secret
from hypothesis import strategies as st

texts = st.text(st.characters(codec="utf-8"), max_size=8)
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
scalars = st.none() | st.booleans() | numbers | texts
assets = st.builds(Asset, st.sampled_from(["text", "path", "uri"]), texts, texts) | st.builds(
    Asset, st.none(), st.none(), texts
)
archives = st.recursive(
    st.builds(Archive, st.sampled_from(["path", "uri"]), texts, texts)
    | st.builds(Archive, st.none(), st.none(), texts),
    lambda inner: st.builds(Archive, st.just("assets"), st.dictionaries(keys, assets | inner, max_size=3), texts),
    max_leaves=4,
)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4) | st.builds(Secret, inner)


known_values = st.recursive(scalars | assets | archives, _containers, max_leaves=12)
values = st.recursive(scalars | assets | archives | st.just(UNKNOWN), _containers, max_leaves=12)
known_properties = st.dictionaries(keys, known_values, max_size=5)
properties = st.dictionaries(keys, values, max_size=5)
