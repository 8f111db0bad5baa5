"""Recognizing objects that an interrupted run of the same program left on the hypervisor.

When the engine is killed during a creation, the object exists but is in no state; the next run creates it again and
would fail on its name. So objects get a UUID whose first half identifies their creator: which resource of
which program, with which engine home and backend, on which machine. Only an object with the same half counts as a
leftover; the second half is random, so that a new object always has a new id.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import uuid
from pathlib import Path

from bundled_plugins.runtime.resource import Operation

_OWNER_BYTES = 8


def new_uuid(op: Operation) -> str:
    """A new UUID (version 8, RFC 9562) for an object of the resource."""
    raw = bytearray(_owner(op) + secrets.token_bytes(16 - _OWNER_BYTES))
    raw[6] = 0x80 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(raw)))


def created_by_this_stack(op: Operation, id: str) -> bool:
    """Whether the UUID is one that :func:`new_uuid` gave for the same resource of the same program."""
    try:
        found = bytearray(uuid.UUID(id).bytes)
    except ValueError:
        return False
    own = bytearray(_owner(op))
    own[6] = 0x80 | own[6] & 0x0F
    return found[:_OWNER_BYTES] == own


def _owner(op: Operation) -> bytes:
    machine = Path("/etc/machine-id")
    parts = (
        op.urn,
        str(Path.cwd()),
        str(os.getuid()),
        os.environ.get("PULUMI_HOME", ""),
        os.environ.get("PULUMI_BACKEND_URL", ""),
        machine.read_text(encoding="ascii").strip() if machine.exists() else os.uname().nodename,
    )
    return hashlib.sha256("\0".join(parts).encode()).digest()[:_OWNER_BYTES]
