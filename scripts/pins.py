"""Say which of Pulumi's packages are pinned to a version that is a quarter behind the package index.

Behind: a newer version was uploaded more than a quarter ago. Always exit code 0: it informs, and decides nothing.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pip._internal.models.index import PyPI
from pip._vendor.packaging.version import InvalidVersion, Version

QUARTER = timedelta(days=91)
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_PIN = re.compile(r'^\s*"(pulumi[a-z-]*)==([0-9.]+)"', re.MULTILINE)
_JSON = "application/vnd.pypi.simple.v1+json"
_LIMIT_S = 20


def main() -> None:
    pins = _PIN.findall(PROJECT.read_text("utf-8"))
    try:
        found = [line for name, version in pins for line in behind(name, Version(version), _page(name))]
    except (OSError, ValueError, KeyError) as error:
        print(f"pins of Pulumi's packages: could not check: {error}")
        return
    print("\n".join(found or ["pins of Pulumi's packages: none is a quarter behind"]))


def behind(name: str, pin: Version, page: dict[str, Any]) -> list[str]:
    """At most one line, by a page of the index's JSON API (PEP 691, with the dates of PEP 700)."""
    uploads: dict[Version, datetime | None] = {}
    for file in page["files"]:
        version = _version(name, file["filename"])
        if version is not None and version > pin and not version.is_prerelease and not file.get("yanked"):
            date = file.get("upload-time")
            uploads[version] = datetime.fromisoformat(date) if date else None
    if not uploads:
        return []
    if None in uploads.values():
        return [f"{name} {pin}: the index has {max(uploads)}, without a date"]
    old = {one: date for one, date in uploads.items() if date is not None and datetime.now(UTC) - date > QUARTER}
    if not old:
        return []
    newest = max(old)
    return [f"{name} {pin} is a quarter behind: {newest} is of {old[newest]:%Y-%m-%d}, the newest is {max(uploads)}"]


def _version(name: str, filename: str) -> Version | None:
    """Of an sdist or wheel of the package."""
    stem = "[-_.]".join(name.split("-"))
    found = re.match(rf"{stem}-([^-]+?)(-.*\.whl|\.tar\.gz|\.zip)$", filename, re.IGNORECASE)
    try:
        return Version(found[1]) if found else None
    except InvalidVersion:
        return None


def _page(name: str) -> dict[str, Any]:
    request = urllib.request.Request(f"{_index().rstrip('/')}/{name}/", headers={"Accept": _JSON})
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    with urllib.request.urlopen(request, timeout=_LIMIT_S, context=context) as answer:
        page: dict[str, Any] = json.load(answer)
        return page


def _index() -> str:
    """As pip has it configured; else pip's default."""
    ask = [sys.executable, "-m", "pip", "config", "get"]
    for key in (":env:.index-url", "global.index-url"):
        done = subprocess.run([*ask, key], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    return PyPI.simple_url


if __name__ == "__main__":
    main()
