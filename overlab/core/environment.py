"""The environment of this process and of what it starts: what a caller exports for other tools changes no lab.

An allow-list: nobody knows every variable that the libraries of Docker, Pulumi, Python, libvirt and OpenSSH read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

KEPT = (
    *("PATH", "HOME", "USER", "LOGNAME", "SUDO_USER", "SHELL", "TMPDIR", "TZ"),
    *("LANG", "LANGUAGE", "LC_*"),
    *("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"),
    *("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "BROWSER"),
    "OVERLAB_*",
)
"""Names, or patterns of names, that pass."""

COMPLETION = ("_OVERLAB_COMPLETE", "_TYPER_*", "COMP_WORDS", "COMP_CWORD")
"""By which a shell asks for completions."""

AGENT = "SSH_AUTH_SOCK"
"""Only for hypervisors of the user's own that are reached over SSH; no connection to a node uses an agent."""

PROXIES = tuple(name for one in ("http", "https", "all", "no") for name in (f"{one}_proxy", f"{one}_proxy".upper()))
_DOWNLOADS = (*PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR", "GO*")
"""Only for what is fetched from the internet before there is a lab."""

_for_downloads: dict[str, str] = {}


def isolate() -> None:
    """Drop every other variable from this process, for it and all that it starts."""
    kept = kept_of(os.environ, (*KEPT, *COMPLETION, AGENT))
    _for_downloads.update(kept_of(os.environ, _DOWNLOADS))
    for name in os.environ.keys() - kept.keys():
        del os.environ[name]


def for_downloads() -> dict[str, str]:
    """This process's environment with the caller's proxies, certificates and settings of Go."""
    # gRPC for Python takes a proxy for the loopback, too
    direct = ",".join(filter(None, [_for_downloads.get("no_proxy"), "127.0.0.1,localhost"]))
    return {**os.environ, **_for_downloads, "no_proxy": direct}


def kept_of(variables: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    """Those whose name matches a pattern."""
    wanted = tuple(patterns)
    return {name: value for name, value in variables.items() if any(fnmatchcase(name, one) for one in wanted)}
