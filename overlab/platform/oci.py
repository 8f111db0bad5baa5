"""Container images from directories, byte for byte the same each time, and pushing them to a registry.

An image has one layer, a plain tar: the engines that pull it run on slow machines, which spend longer on inflating
a layer than on receiving it. The manifest is Docker's schema 2, which every engine takes.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import socket
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from overlab.core.errors import OverlabError

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_BLOBS = "docker/registry/v2/blobs"
_REPOSITORIES = "docker/registry/v2/repositories"
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Image:
    """A built image: its layer's file and its two documents."""

    layer: Path
    layer_digest: str
    config: bytes
    manifest: bytes

    @property
    def digest(self) -> str:
        """The digest that a pull shows and a reference can pin."""
        return digest(self.manifest)


@dataclass(frozen=True)
class Run:
    """How a container of the image is run, in the words of the image's configuration."""

    command: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str | None = None


def build(root: Path, layer: Path, run: Run) -> Image:
    """An image of the tree ``root`` (modes and owners as they are there); its layer is written to ``layer``."""
    _write_layer(root, layer)
    with layer.open("rb") as file:
        layer_digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    config = _json(_config(run, layer_digest))
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(config), "digest": digest(config)},
            "layers": [{"mediaType": LAYER, "size": layer.stat().st_size, "digest": layer_digest}],
        }
    )
    return Image(layer, layer_digest, config, manifest)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def push(image: Image, repository: str, tag: str, registry: Path) -> None:
    """Upload to a registry that listens on the unix socket ``registry``.

    Raises :class:`OverlabError` with the registry's answer.
    """
    connection = _UnixConnection(registry)
    try:
        with image.layer.open("rb") as layer:
            _upload(connection, repository, image.layer_digest, layer, image.layer.stat().st_size)
        _upload(connection, repository, digest(image.config), io.BytesIO(image.config), len(image.config))
        path = f"/v2/{repository}/manifests/{tag}"
        _request(connection, "PUT", path, image.manifest, {"Content-Type": MANIFEST}, expect=201)
    finally:
        connection.close()


def export(storage: Path, name: str, archive: Path) -> None:
    """An image of a registry's storage directory as an archive for ``docker load``, under the name that users give."""
    repository, _, tag = name.partition(":")
    link = storage / _REPOSITORIES / repository / "_manifests/tags" / tag / "current/link"
    manifest = json.loads(_blob(storage, link.read_text()).read_bytes())
    config = manifest["config"]["digest"]
    layers = [layer["digest"] for layer in manifest["layers"]]
    contents = [{"Config": config, "RepoTags": [name.removeprefix("library/")], "Layers": layers}]
    with tarfile.open(archive, "w") as tar:
        for digest_ in dict.fromkeys([config, *layers]):
            tar.add(_blob(storage, digest_), arcname=digest_)
        member = tarfile.TarInfo("manifest.json")
        member.size = len(_json(contents))
        tar.addfile(member, io.BytesIO(_json(contents)))


# -- building --------------------------------------------------------------------------------------


def _write_layer(root: Path, layer: Path) -> None:
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        for directory, names, files in os.walk(root):
            names.sort()
            links = [name for name in names if (Path(directory) / name).is_symlink()]
            if Path(directory) != root:
                _add(tar, root, Path(directory))
            for name in sorted([*files, *links]):
                _add(tar, root, Path(directory) / name)


def _add(tar: tarfile.TarFile, root: Path, path: Path) -> None:
    member = tar.gettarinfo(path, arcname=str(path.relative_to(root)))
    member.mtime = 0
    member.uname = member.gname = ""
    if member.isreg():
        with path.open("rb") as file:
            tar.addfile(member, file)
    else:
        tar.addfile(member)


def _config(run: Run, layer_digest: str) -> dict[str, object]:
    config: dict[str, object] = {
        "Cmd": list(run.command),
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            *(f"{name}={value}" for name, value in sorted(run.environment.items())),
        ],
    }
    if run.entrypoint:
        config["Entrypoint"] = list(run.entrypoint)
    if run.ports:
        config["ExposedPorts"] = {port: {} for port in run.ports}
    if run.volumes:
        config["Volumes"] = {volume: {} for volume in run.volumes}
    if run.stop_signal:
        config["StopSignal"] = run.stop_signal
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": _EPOCH,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        "history": [{"created": _EPOCH, "created_by": "overlab, from Debian packages"}],
    }


def _blob(storage: Path, name: str) -> Path:
    algorithm, _, value = name.strip().partition(":")
    return storage / _BLOBS / algorithm / value[:2] / value / "data"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


# -- the registry's HTTP API -----------------------------------------------------------------------


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("registry", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _upload(connection: _UnixConnection, repository: str, name: str, data: io.IOBase, size: int) -> None:
    start = _request(connection, "POST", f"/v2/{repository}/blobs/uploads/", b"", {}, expect=202)
    location = start["Location"].removeprefix("http://registry")
    target = f"{location}{'&' if '?' in location else '?'}digest={name}"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    _request(connection, "PUT", target, data, headers, expect=201)


def _request(
    connection: _UnixConnection, method: str, path: str, body: bytes | io.IOBase, headers: dict[str, str], expect: int
) -> http.client.HTTPMessage:
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != expect:
        text = said.decode(errors="replace")[:300]
        raise OverlabError(f"the registry answered {answer.status} to {method} {path}: {text}")
    return answer.headers
