"""The bytes that a ``tcp`` check sends: numbered blocks, so that none can be lost, doubled or swapped unseen."""

from __future__ import annotations

import shlex

PORT = 5201
LIMIT_S = 270
"""A listener that is not asked ends after this."""
_FIRST, _BLOCKS, _BLOCK = 100_000, 2500, 4000
_DIGITS = "0123456789abcdef"
_FILL = _BLOCK - len(f"{_FIRST}\n")
LENGTH = _BLOCKS * _BLOCK

PROGRAM = (
    f'BEGIN {{ p = "{_DIGITS}"; while (length(p) < {_FILL}) p = p p; p = substr(p, 1, {_FILL}); '
    f"for (n = {_FIRST}; n < {_FIRST + _BLOCKS}; n++) print n p }}"
)
"""It in awk, for the sender: few long lines, since each costs an emulated machine the same."""

MD5 = "e54eb63eef84c131b12771096fa076d2"
"""Of all bytes."""


def listener(port: int, receivers: int) -> str:
    """Shell for a workload: send to whoever connects to ``port``, until all receivers have confirmed on ``port + 1``.

    It ends the listener of an earlier run.
    """
    return (
        f"while nc -w 2 127.0.0.1 {port + 1} </dev/null >/dev/null 2>&1; do :; done\n"
        # Its sender ends a moment later, and keeps the port until then.
        f"while nc -w 2 127.0.0.1 {port} </dev/null >/dev/null 2>&1; do :; done\n"
        f"nc -ll -p {port} -e awk {shlex.quote(PROGRAM)} 2>/dev/null & sender=$!\n"
        f"n=0; while [ $n -lt {receivers} ] && timeout {LIMIT_S} nc -l -p {port + 1} </dev/null >/dev/null 2>&1; "
        "do n=$((n + 1)); done\n"
        "kill $sender"
    )


def receiver(address: str, port: int) -> str:
    """Shell for a workload: succeeds if all bytes arrive and are the right ones, and confirms that to the listener."""
    return (
        f"got=$(nc -w 20 {address} {port} </dev/null | md5sum | cut -d' ' -f1); "
        f'echo "{LENGTH} bytes: wanted {MD5}, got $got"; [ "$got" = {MD5} ] && '
        f"for _ in 1 2 3; do nc -w 2 {address} {port + 1} </dev/null && break; sleep 1; done"
    )
