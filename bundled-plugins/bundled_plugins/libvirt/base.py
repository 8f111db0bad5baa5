"""What every libvirt resource adds to its model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import libvirt

from bundled_plugins.libvirt.errors import error_context, message
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model_resource import ModelResource
from bundled_plugins.runtime.values import Properties


class LibvirtResource(ModelResource):
    """A resource of one hypervisor; hooks get its :class:`~bundled_plugins.libvirt.connection.Hypervisor` as client."""

    def library_errors(self) -> AbstractContextManager[None]:
        return wrap_libvirt_errors()


@contextmanager
def wrap_libvirt_errors() -> Iterator[None]:
    """Turn a libvirt error into a ProviderError with libvirt's own text."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise ProviderError(message(error)) from error


def update_autostart(live: Any, olds: Properties, news: Properties, context: str) -> None:
    """Set a running object's autostart where the input changed."""
    if "autostart" in news and news["autostart"] != olds.get("autostart"):
        with error_context(context):
            live.setAutostart(int(news["autostart"]))


def known_texts(value: Any) -> list[str]:
    """The texts in a list of which items, or the list itself, may be unknown."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
