"""``docker:index/network:Network``."""

from __future__ import annotations

from typing import Annotated, Any

from docker.errors import DockerException
from docker.types import IPAMConfig, IPAMPool

from bundled_plugins.docker.base import DockerResource, retried
from bundled_plugins.docker.client import Api
from bundled_plugins.docker.errors import error_context, not_found
from bundled_plugins.docker.labels import Label, as_list, as_mapping
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.model_resource import NAME_LIMIT
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties

_REPLACE = Prop(replace=True)
_COMPUTED = Prop(replace=True, computed=True)
_SET = Prop(replace=True, unordered=True)


class IpamConfig(Model):
    """One address range of a network."""

    subnet: str | None = None
    ip_range: str | None = None
    gateway: str | None = None
    aux_address: dict[str, str] | None = None


class NetworkInputs(Model):
    """Inputs of a Network."""

    name: Annotated[str | None, Prop(replace=True, autoname=NAME_LIMIT)] = None
    driver: Annotated[str | None, _COMPUTED] = None
    options: Annotated[dict[str, str] | None, _COMPUTED] = None
    internal: Annotated[bool | None, _COMPUTED] = None
    attachable: Annotated[bool | None, _REPLACE] = None
    ingress: Annotated[bool | None, _REPLACE] = None
    ipv6: Annotated[bool | None, _REPLACE] = None
    ipam_driver: Annotated[str | None, Prop(replace=True, default="default")] = None
    ipam_options: Annotated[dict[str, str] | None, _REPLACE] = None
    ipam_configs: Annotated[list[IpamConfig] | None, Prop(replace=True, computed=True, unordered=True)] = None
    labels: Annotated[list[Label] | None, _SET] = None


class Network(DockerResource):
    """A network; nothing of it changes in place.

    The official provider sleeps 2 s before each read and delete; the result without the sleep is the same.
    """

    token = "docker:index/network:Network"
    model = NetworkInputs
    outputs = ("scope",)

    def create_object(self, op: Operation, api: Api, inputs: Properties) -> str:
        spec = NetworkInputs.parse(inputs)
        with error_context("Unable to create network"):
            return str(
                api.create_network(
                    spec.name or "",
                    driver=spec.driver,
                    options=spec.options,
                    ipam=_ipam(spec),
                    check_duplicate=True,
                    internal=bool(spec.internal),
                    labels=as_mapping(spec.labels),
                    enable_ipv6=bool(spec.ipv6),
                    attachable=spec.attachable,
                    ingress=spec.ingress,
                )["Id"]
            )

    def read_object(self, op: Operation, api: Api, id: str, known: Properties) -> tuple[str, Properties] | None:
        try:
            network = api.inspect_network(id)
        except DockerException as error:
            if not_found(error):
                return None
            raise
        return id, _facts(network)

    def delete_object(self, op: Operation, api: Api, id: str, known: Properties) -> None:
        """Waits up to 30 s for the last container to leave."""

        def attempt() -> None:
            try:
                api.remove_network(id)
            except DockerException as error:
                if not not_found(error):
                    raise

        retried(op, attempt, "has active endpoints", "pending")


def _ipam(spec: NetworkInputs) -> IPAMConfig:
    pools = [
        IPAMPool(c.subnet, iprange=c.ip_range, gateway=c.gateway, aux_addresses=c.aux_address)
        for c in spec.ipam_configs or []
    ]
    return IPAMConfig(spec.ipam_driver or "default", pool_configs=pools, options=spec.ipam_options or {})


def _facts(network: dict[str, Any]) -> Properties:
    ipam = network["IPAM"]
    return {
        "name": network["Name"],
        "driver": network["Driver"],
        "scope": network["Scope"],
        "options": network.get("Options") or {},
        "internal": network["Internal"],
        "attachable": network["Attachable"],
        "ingress": network["Ingress"],
        "ipv6": network["EnableIPv6"],
        "ipamDriver": ipam["Driver"],
        "ipamOptions": ipam.get("Options") or {},
        "ipamConfigs": ipam_configs(ipam),
        "labels": as_list(network.get("Labels")),
    }


def ipam_configs(ipam: dict[str, Any]) -> list[Properties]:
    """Address ranges of an inspected network; what it does not state is left out."""
    ranges = []
    for config in ipam.get("Config") or []:
        facts = {
            "subnet": config.get("Subnet"),
            "ipRange": config.get("IPRange"),
            "gateway": config.get("Gateway"),
            "auxAddress": config.get("AuxiliaryAddresses"),
        }
        ranges.append({key: value for key, value in facts.items() if value})
    return ranges
