"""The bytes that a ``tcp`` check sends: numbered blocks, so that none can be lost, doubled or swapped unseen."""

from __future__ import annotations

import hashlib

PORT = 5201
_FIRST, _BLOCKS, _BLOCK = 100_000, 2500, 4000
_DIGITS = "0123456789abcdef"
_FILL = _BLOCK - len(f"{_FIRST}\n")
LENGTH = _BLOCKS * _BLOCK

PROGRAM = (
    f'BEGIN {{ p = "{_DIGITS}"; while (length(p) < {_FILL}) p = p p; p = substr(p, 1, {_FILL}); '
    f"for (n = {_FIRST}; n < {_FIRST + _BLOCKS}; n++) print n p }}"
)
"""It in awk, for the sender: few long lines, since each costs an emulated machine the same."""

_filled = (_DIGITS * (_FILL // len(_DIGITS) + 1))[:_FILL]
MD5 = hashlib.md5(
    b"".join(f"{n}{_filled}\n".encode() for n in range(_FIRST, _FIRST + _BLOCKS)), usedforsecurity=False
).hexdigest()
