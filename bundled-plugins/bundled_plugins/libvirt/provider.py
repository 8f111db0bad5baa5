"""The provider ``libvirt`` 0.5.4: its configuration and what it serves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

from bundled_plugins.libvirt.cloud_init_disk import CloudInitDisk
from bundled_plugins.libvirt.connection import Hypervisor, libvirt_uri
from bundled_plugins.libvirt.domain import Domain
from bundled_plugins.libvirt.network import Network
from bundled_plugins.libvirt.pool import Pool
from bundled_plugins.libvirt.volume import Volume
from bundled_plugins.runtime.errors import CheckFailure, ProviderError
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.resource import Checked, Plugin
from bundled_plugins.runtime.values import Properties, Unknown, unwrap

URI_VARIABLE = "LIBVIRT_DEFAULT_URI"


class ProviderInputs(Model):
    """Configuration of the provider."""

    uri: Annotated[str | None, Prop()] = None
    version: str | None = None
    plugin_download_url: Annotated[str | None, Prop()] = None


class LibvirtPlugin(Plugin):
    """Networks, storage and machines of one libvirt daemon."""

    name = "libvirt"
    version = "0.5.4"
    resources = (Network, Pool, Volume, CloudInitDisk, Domain)

    def check_config(self, olds: Properties, news: Properties) -> Checked:
        known = {key: value for key, value in news.items() if key != "pluginDownloadURL"}
        failures = ProviderInputs.failures(known, "the provider libvirt")
        uri = unwrap(news.get("uri"))
        if not failures and uri is None:
            default = os.environ.get(URI_VARIABLE)
            return Checked(news | {"uri": default}) if default else Checked(news, [CheckFailure("uri", _missing())])
        if not failures and not isinstance(uri, Unknown):
            try:
                libvirt_uri(uri)
            except ProviderError as error:
                failures = [CheckFailure("uri", str(error))]
        return Checked(news, failures)

    def configure(self, args: Properties, variables: Mapping[str, str]) -> Hypervisor:
        uri = unwrap(args.get("uri")) or variables.get("libvirt:config:uri") or os.environ.get(URI_VARIABLE)
        if not uri:
            raise ProviderError(_missing())
        return Hypervisor(uri)

    def cancel(self, client: Any) -> None:
        """Nothing to do: every wait and every transfer checks its operation's ``cancelled``."""


def _missing() -> str:
    return (
        "Missing required property 'uri': libvirt connection URI for operations, e.g. qemu:///system; set the "
        f"provider's uri, 'pulumi config set libvirt:uri', or {URI_VARIABLE}"
    )
