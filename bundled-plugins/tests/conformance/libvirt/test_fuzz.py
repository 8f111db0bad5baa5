"""Malformed property bags never end the plugin, not even where they are operated with unchecked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from bundled_plugins.libvirt.network import NetworkInputs
from bundled_plugins.libvirt.pool import PoolInputs
from bundled_plugins.libvirt.volume import VolumeInputs
from bundled_plugins.runtime.model import Model

from conformance.harness import CallFailed, Provider, running
from conformance.libvirt.conftest import NETWORK, POOL, VOLUME
from conformance.test_fuzz import Bags

pytestmark = pytest.mark.bundled_only("test driver")

MODELS: dict[str, type[Model]] = {NETWORK: NetworkInputs, POOL: PoolInputs, VOLUME: VolumeInputs}


@pytest.fixture(scope="module")
def dry_plugin() -> Iterator[Provider]:
    with running("bundled_plugins.libvirt", {"uri": "test:///default"}) as started:
        yield started


@pytest.mark.parametrize("token", MODELS)
def test_create_read_update_and_delete_survive_anything(dry_plugin: Provider, token: str) -> None:
    for seed in range(40):
        bags = Bags(f"{token} {seed}")
        bag = (bags.typed if seed % 2 else bags.of)(MODELS[token])
        for call in (
            lambda bag=bag: dry_plugin.create(token, "it", bag),
            lambda bag=bag: dry_plugin.read(token, "it", "forged", bag, bag),
            lambda bag=bag: dry_plugin.update(token, "it", "forged", bag, bag, bag),
            lambda bag=bag: dry_plugin.delete(token, "it", "forged", bag, bag),
        ):
            with contextlib.suppress(CallFailed):
                call()
        assert dry_plugin.process.poll() is None
    assert dry_plugin.version() == "0.5.4"
