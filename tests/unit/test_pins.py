"""`make lock` says which of Pulumi's packages are pinned a quarter behind the index."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "scripts" / "pins.py"
_PROJECT = '[project]\ndependencies = [\n    "pulumi==3.259.0",\n    "pulumi-docker==5.1.0",\n    "pydantic==2.0",\n]\n'


def file(name: str, days: int | None, **more: object) -> dict[str, object]:
    date = {} if days is None else {"upload-time": (datetime.now(UTC) - timedelta(days=days)).isoformat()}
    return {"filename": name, **date, **more}


class Index:
    """A package index with the JSON API."""

    def __init__(self) -> None:
        self.pages: dict[str, object] = {"pulumi": {"files": []}, "pulumi-docker": {"files": []}}
        self.asked: list[str] = []
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.headers["Accept"] == "application/vnd.pypi.simple.v1+json"
                name = self.path.strip("/").split("/")[-1]
                index.asked.append(name)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(index.pages[name]).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/simple/"


@pytest.fixture
def index() -> Iterator[Index]:
    one = Index()
    thread = threading.Thread(target=one.server.serve_forever)
    thread.start()
    yield one
    one.server.shutdown()
    thread.join()
    one.server.server_close()


def pins(root: Path, url: str) -> str:
    """What the script prints in a project with pins of its own."""
    (root / "scripts").mkdir(exist_ok=True)
    (root / "scripts" / "pins.py").write_text(_SCRIPT.read_text())
    (root / "pyproject.toml").write_text(_PROJECT)
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, root / "scripts" / "pins.py"],
        env=environment | {"PIP_INDEX_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_pin_is_behind_when_a_newer_version_is_older_than_a_quarter(index: Index, tmp_path: Path) -> None:
    index.pages["pulumi"] = {
        "files": [
            file("pulumi-3.258.0-py3-none-any.whl", 400),
            file("pulumi-3.260.0-py3-none-any.whl", 200),
            file("pulumi-3.262.0-py3-none-any.whl", 100),
            file("pulumi-3.263.0-py3-none-any.whl", 100, yanked="broken"),
            file("pulumi-3.270.0-py3-none-any.whl", 5),
            file("pulumi-4.0.0a1-py3-none-any.whl", 300),
        ]
    }
    index.pages["pulumi-docker"] = {"files": [file("pulumi_docker-5.2.0.tar.gz", 30)]}
    date = f"{datetime.now(UTC) - timedelta(days=100):%Y-%m-%d}"
    expected = f"pulumi 3.259.0 is a quarter behind: 3.262.0 is of {date}, the newest is 3.270.0\n"
    assert pins(tmp_path, index.url) == expected
    assert index.asked == ["pulumi", "pulumi-docker"]


def test_without_dates_versions_are_compared(index: Index, tmp_path: Path) -> None:
    index.pages["pulumi-docker"] = {"files": [file("pulumi_docker-5.2.0.tar.gz", None)]}
    assert pins(tmp_path, index.url) == "pulumi-docker 5.1.0: the index has 5.2.0, without a date\n"


def test_nothing_newer_is_said_too(index: Index, tmp_path: Path) -> None:
    assert pins(tmp_path, index.url) == "pins of Pulumi's packages: none is a quarter behind\n"


def test_without_an_index_it_says_so_and_fails_nothing(index: Index, tmp_path: Path) -> None:
    index.pages["pulumi"] = "no such page"
    assert pins(tmp_path, "http://127.0.0.1:9/simple").startswith("pins of Pulumi's packages: could not check: ")
    index.pages["pulumi"] = {}
    assert "could not check" in pins(tmp_path, index.url)


def test_locking_ends_with_it() -> None:
    assert _SCRIPT.with_name("lock").read_text().splitlines()[-1] == '"$tool/bin/python" scripts/pins.py'
