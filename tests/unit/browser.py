"""A real browser without a screen. It is private to each call and reaches no network."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_LIMIT_S = 100
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    # Nothing but the file itself can be had.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)

_BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needed = pytest.mark.skipif(_BROWSER is None, reason="neither chromium nor google-chrome is on PATH")


@dataclass(frozen=True)
class Seen:
    """What became of a page."""

    dom: str
    console: list[str]
    """The page's console: errors of scripts, styles, refused loads."""
    screenshot: bytes


ON_LOOPBACK = ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=60000")
"""For a page that a server on this machine's loopback has, with scripts that take their time."""


def load(page: Path | str, scratch: Path, size: str = "1280,1600", *flags: str) -> Seen:
    """Load a page from a file, or from a URL, as far as it goes by itself."""
    picture = scratch / "page.png"
    assert _BROWSER is not None
    command = [_BROWSER, *_FLAGS, f"--user-data-dir={scratch / 'profile'}", f"--window-size={size}", *flags]
    done = subprocess.run(
        [*command, f"--screenshot={picture}", "--dump-dom", page if isinstance(page, str) else page.as_uri()],
        capture_output=True,
        timeout=_LIMIT_S,
        check=False,
    )
    reported = done.stderr.decode(errors="replace")
    assert done.returncode == 0, reported
    console = [line for line in reported.splitlines() if ":CONSOLE:" in line]
    return Seen(done.stdout.decode(errors="replace"), console, picture.read_bytes())
