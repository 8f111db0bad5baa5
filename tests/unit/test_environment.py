"""What passes of the caller's environment."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from overlab.core import environment
from tests.e2e import hostile

_SHOW = """
import os
from overlab.core import environment
environment.isolate()
print("\\n".join(sorted(os.environ)))
print("downloads", environment.for_downloads()["https_proxy"], environment.for_downloads()["no_proxy"])
"""


def test_only_what_a_lab_needs_passes(tmp_path_factory: pytest.TempPathFactory) -> None:
    given = hostile.environment(tmp_path_factory.mktemp("hostile"))
    kept = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "dumb", "XDG_STATE_HOME": "/s"}
    done = subprocess.run(
        ["env", "-u", "PYTHONEXECUTABLE", sys.executable, "-I", "-c", _SHOW],
        env={**given, **kept, "no_proxy": "example.org"},
        capture_output=True,
        text=True,
        check=True,
    )
    *names, downloads = done.stdout.splitlines()
    assert set(names) == {*kept, "HOME", "OVERLAB_CACHE", "SSH_AUTH_SOCK"}
    assert downloads == f"downloads {given['https_proxy']} example.org,127.0.0.1,localhost"


def test_downloads_get_this_process_s_environment_where_it_was_not_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "https://goproxy.example")
    assert environment.for_downloads()["GOPROXY"] == "https://goproxy.example"
