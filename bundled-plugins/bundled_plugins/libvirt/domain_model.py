"""The inputs of a domain, with what each property's change means in the official provider.

Many changes are planned as an update that does nothing to the running machine (disks, interfaces, machine type, ...):
a program that wants them applied forces a replace with ``replaceOnChanges``.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.model_resource import NAME_LIMIT


def _same_ignoring_case(old: Any, new: Any) -> bool:
    return str(old).lower() == str(new).lower()


class DomainCpu(Model):
    mode: Annotated[str | None, Prop(computed=True)] = None


class DomainDisk(Model):
    unsupported = ("url", "wwn")

    volume_id: str | None = None
    file: str | None = None
    block_device: str | None = None
    scsi: Annotated[bool | None, Prop(replace=True, default=False)] = None


class DomainInterface(Model):
    unsupported = ("addresses", "hostname", "macvtap", "passthrough", "vepa", "waitForLease")

    network_id: Annotated[str | None, Prop(computed=True)] = None
    network_name: Annotated[str | None, Prop(computed=True)] = None
    bridge: str | None = None
    mac: Annotated[str | None, Prop(computed=True, same=_same_ignoring_case)] = None


class DomainGraphics(Model):
    type: Annotated[str | None, Prop(replace=True, default="spice")] = None
    autoport: Annotated[bool | None, Prop(replace=True, default=True)] = None
    listen_type: Annotated[str | None, Prop(replace=True, default="none")] = None
    listen_address: Annotated[str | None, Prop(replace=True, default="127.0.0.1")] = None
    websocket: int | None = None


class DomainConsole(Model):
    type: Annotated[str, Prop(replace=True)]
    target_port: Annotated[str, Prop(replace=True)]
    target_type: Annotated[str | None, Prop(replace=True)] = None
    source_path: Annotated[str | None, Prop(replace=True)] = None
    source_host: Annotated[str | None, Prop(replace=True, default="127.0.0.1")] = None
    source_service: Annotated[str | None, Prop(replace=True, default="0")] = None


class DomainBootDevice(Model):
    devs: list[str] | None = None


class DomainInputs(Model):
    unsupported = (
        "coreosIgnition",
        "filesystems",
        "firmware",
        "fwCfgName",
        "metadata",
        "nvram",
        "qemuAgent",
        "tpm",
        "video",
        "xml",
    )

    name: Annotated[str | None, Prop(replace=True, autoname=NAME_LIMIT)] = None
    description: Annotated[str | None, Prop(replace=True)] = None
    vcpu: Annotated[int | None, Prop(replace=True, default=1), Field(ge=1)] = None
    memory: Annotated[int | None, Prop(replace=True, default=512), Field(ge=1)] = None
    type: Annotated[str | None, Prop(replace=True, default="kvm", write_only=True)] = None
    arch: Annotated[str | None, Prop(computed=True)] = None
    machine: Annotated[str | None, Prop(computed=True)] = None
    emulator: Annotated[str | None, Prop(computed=True)] = None
    cpu: Annotated[DomainCpu | None, Prop(computed=True)] = None
    kernel: str | None = None
    initrd: str | None = None
    cmdlines: Annotated[list[dict[str, str]] | None, Prop(replace=True)] = None
    boot_devices: Annotated[list[DomainBootDevice] | None, Prop(write_only=True)] = None
    running: Annotated[bool | None, Prop(default=True)] = None
    autostart: Annotated[bool | None, Prop(computed=True)] = None
    cloudinit: Annotated[str | None, Prop(write_only=True)] = None
    disks: Annotated[list[DomainDisk] | None, Prop(replace=True)] = None
    network_interfaces: list[DomainInterface] | None = None
    graphics: Annotated[DomainGraphics | None, Prop(replace=True, write_only=True)] = None
    consoles: Annotated[list[DomainConsole] | None, Prop(replace=True, write_only=True)] = None

    @field_validator("cmdlines", mode="after")
    @classmethod
    def _one_word(cls, value: Any) -> Any:
        for words in value if isinstance(value, list) else []:
            for key in words if isinstance(words, dict) else ():
                if not key or any(character.isspace() for character in key):
                    raise ValueError(f"'{key}' is no kernel argument; words without '=' go under the key '_'")
        return value
