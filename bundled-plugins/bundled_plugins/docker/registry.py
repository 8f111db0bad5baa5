"""Credentials for registries, from the provider's ``registryAuth``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker.auth
from docker.auth import resolve_repository_name

from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import Model


class RegistryAuth(Model):
    """Access to one registry."""

    address: str
    username: str | None = None
    password: str | None = None
    config_file: str | None = None
    config_file_content: str | None = None
    auth_disabled: bool | None = None


@dataclass(frozen=True)
class Registries:
    """Which credentials go to which registry; none for all others."""

    by_host: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, entries: list[RegistryAuth]) -> Registries:
        """Raises ProviderError when a stated configuration file cannot be had."""
        return cls({_host(entry.address): _credentials(entry) for entry in entries})

    def for_image(self, name: str) -> dict[str, Any]:
        """Credentials to pull an image with; empty = anonymous."""
        registry, _ = resolve_repository_name(name.split("@", 1)[0])
        return dict(self.by_host.get(_host(registry), {}))


def _host(address: str) -> str:
    host = address.removeprefix("https://").removeprefix("http://").split("/", 1)[0]
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io", "docker.io") else host


def _credentials(entry: RegistryAuth) -> Mapping[str, Any]:
    if entry.auth_disabled:
        return {}
    username = entry.username or os.environ.get("DOCKER_REGISTRY_USER", "")
    password = entry.password or os.environ.get("DOCKER_REGISTRY_PASS", "")
    if username:
        return {"username": username, "password": password, "serveraddress": entry.address}
    return _from_config(entry)


def _from_config(entry: RegistryAuth) -> Mapping[str, Any]:
    if entry.config_file_content:
        config = docker.auth.AuthConfig(_parsed(entry))
    else:
        default = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
        path = Path(entry.config_file).expanduser() if entry.config_file else default
        if not path.is_file():
            raise ProviderError(
                f"registryAuth for {entry.address}: could not open config file: {path} does not exist; "
                "give username and password, or configFile, or authDisabled"
            )
        config = docker.auth.load_config(str(path))
    return dict(config.resolve_authconfig(_host(entry.address)) or {})


def _parsed(entry: RegistryAuth) -> dict[str, Any]:
    try:
        content = json.loads(entry.config_file_content or "{}")
    except ValueError as error:
        raise ProviderError(f"registryAuth for {entry.address}: configFileContent is no JSON: {error}") from error
    return {"auths": docker.auth.parse_auth(content.get("auths", {}))}
