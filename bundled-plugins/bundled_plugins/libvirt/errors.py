"""libvirt's error numbers, and libvirt's errors as the user is to see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import libvirt

from bundled_plugins.runtime.errors import ProviderError

NO_SUPPORT = libvirt.VIR_ERR_NO_SUPPORT
INVALID_ARG = libvirt.VIR_ERR_INVALID_ARG
NO_DOMAIN = libvirt.VIR_ERR_NO_DOMAIN
NO_NETWORK = libvirt.VIR_ERR_NO_NETWORK
NO_STORAGE_POOL = libvirt.VIR_ERR_NO_STORAGE_POOL
NO_STORAGE_VOL = libvirt.VIR_ERR_NO_STORAGE_VOL
STORAGE_VOL_EXIST = libvirt.VIR_ERR_STORAGE_VOL_EXIST

GONE = frozenset({NO_DOMAIN, NO_NETWORK, NO_STORAGE_POOL, NO_STORAGE_VOL})
"""Numbers that mean: no such object."""


def not_found(error: libvirt.libvirtError) -> bool:
    """Whether the error means that the object does not exist."""
    return error.get_error_code() in GONE


def message(error: libvirt.libvirtError) -> str:
    """libvirt's own text, without its prefix."""
    return str(error.get_error_message() or error)


@contextmanager
def error_context(what: str) -> Iterator[None]:
    """Turn a libvirt error into a :class:`ProviderError` ``<what>: <libvirt's text>``."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise ProviderError(f"{what}: {message(error)}") from error


def find(lookup: Callable[[str], Any], key: str, what: str) -> Any | None:
    """What ``lookup(key)`` gives, None where there is no such object."""
    try:
        return lookup(key)
    except libvirt.libvirtError as error:
        if not_found(error):
            return None
        raise ProviderError(f"{what} '{key}': {message(error)}") from error
