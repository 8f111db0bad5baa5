"""The quick start of plugin processes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conformance.harness import ROOT

pytestmark = pytest.mark.bundled_only("internals")


def _python(code: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_stubs_come_without_the_sdk() -> None:
    code = """
import sys
from bundled_plugins.runtime import fast_import
fast_import.start()
from bundled_plugins.runtime import provider
print(len([name for name in sys.modules if name.startswith("pulumi.") and ".proto" not in name]))
print(provider.provider_pb2.CheckRequest(urn="u").urn)
"""
    assert _python(code).split() == ["1", "u"]


def test_an_imported_sdk_is_left_alone() -> None:
    code = """
import pulumi
from bundled_plugins.runtime import fast_import
fast_import.start()
import pulumi.automation
print(pulumi.ResourceOptions.__name__)
"""
    assert _python(code) == "ResourceOptions"
