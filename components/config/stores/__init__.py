"""The cluster stores that a lab can have, by the word for each in ``store.kind``."""

from __future__ import annotations

from typing import Final

from components.config import conventions
from components.config.stores.backend import Member as Member
from components.config.stores.backend import Process as Process
from components.config.stores.backend import StoreBackend as StoreBackend
from components.config.stores.consul import CONSUL
from components.config.stores.etcd import ETCD

BACKENDS: Final = {backend.name: backend for backend in (CONSUL, ETCD)}
RESERVED_PORTS: Final = frozenset(
    {
        *conventions.NODE_PORTS,
        2375,  # the engine's without TLS
        *(port for backend in BACKENDS.values() for port in (*backend.control_ports, *backend.reserved_ports)),
    }
)
"""No workload may publish them: a lab may have another store tomorrow."""
