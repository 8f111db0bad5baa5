"""libvirt connection URIs that a stack file may name: whoever uses one opens it as root.

libvirt runs the program in ``qemu+ext``'s and ``qemu+ssh``'s ``command`` and the remote one in ``netcat``; other
parameters turn the check of host keys and certificates off. So schemes and parameters are listed here, not refused
one by one.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from components.config.section import refusal

SCHEMES = ("qemu", "qemu+unix", "qemu+ssh", "qemu+libssh", "qemu+libssh2", "qemu+tls")
PATHS = ("/system", "/session")
_FILE = r"/[A-Za-z0-9._/+@-]*"
PARAMETERS = {
    "socket": _FILE,
    "keyfile": _FILE,
    "known_hosts": _FILE,
    "knownhosts": _FILE,  # the official provider's own spelling
    "known_hosts_verify": "normal",
    "sshauth": r"[a-z,-]+",
    "pkipath": _FILE,
    "mode": "auto|direct|legacy",
    "proxy": "auto|native",
}
"""Parameter -> pattern of its value."""
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_HOST = r"[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:.]+\]"
_AUTHORITY = re.compile(rf"(({_USER})@)?({_HOST})(:[0-9]{{1,5}})?")
_EXAMPLE = "such as qemu:///system or qemu+ssh://root@hv1.example.net/system?keyfile=/root/.ssh/hv1"


def check(value: Any) -> Any:
    """A validator: the value itself, where it is no text or an accepted URI."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[a-z][a-z0-9+]*://[!-~]{1,500}", value) or "#" in value:
        raise refusal("a libvirt URI, such as qemu:///system", "change it to that form")
    try:
        scheme, authority, path, query, _ = urlsplit(value)
    except ValueError as error:
        raise refusal(f"a libvirt URI ({error})", f"correct it, {_EXAMPLE}") from error
    if scheme not in SCHEMES:
        rule = f"one of the schemes {', '.join(SCHEMES)}: others may run a program as the user of overlab"
        raise refusal(rule, f"use one of these, {_EXAMPLE}")
    if path not in PATHS:
        raise refusal(f"a URI with the path {' or '.join(PATHS)}", f"write it, {_EXAMPLE}")
    if authority and not _AUTHORITY.fullmatch(authority):
        raise refusal("a host as USER@HOST:PORT, without a password", f"correct it, {_EXAMPLE}")
    for key, text in parse_qsl(query, keep_blank_values=True, separator="&"):
        if key not in PARAMETERS:
            rule = f"only the parameters {', '.join(PARAMETERS)}: others run a program or skip the check of the host"
            raise refusal(rule, f"remove {key}")
        if not re.fullmatch(PARAMETERS[key], text):
            raise refusal(f"{key} in the form {PARAMETERS[key]}", f"correct {key}, {_EXAMPLE}")
    return value
