"""Reproducible container images from directories, written into the storage of a registry.

An image has one layer, an uncompressed tar: engines on slow machines spend longer on inflating a layer than on
receiving it, and no compressor's version decides the digest. The manifest is Docker's schema 2, for every engine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_BLOBS = "docker/registry/v2/blobs"
_REPOSITORIES = "docker/registry/v2/repositories"
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class ContainerImage:
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
    """How a container of the image is run: fields of the image's configuration."""

    command: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str | None = None
    user: str | None = None
    """Numeric user and group; root where none is stated."""


def build(root: Path, layer: Path, run: Run) -> ContainerImage:
    """An image of the tree ``root`` with its modes and owners; its layer is written to ``layer``."""
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
    return ContainerImage(layer, layer_digest, config, manifest)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def store(image: ContainerImage, name: str, storage: Path) -> None:
    """Add it to a registry's storage directory, laid out as by the registry's own filesystem driver."""
    repository, _, tag = name.partition(":")
    manifests, layers = (storage / _REPOSITORIES / repository / part for part in ("_manifests", "_layers"))
    config = digest(image.config)
    for blob, data in ((config, image.config), (image.digest, image.manifest), (image.layer_digest, None)):
        file = _blob(storage, blob)
        file.parent.mkdir(parents=True, exist_ok=True)
        if data is not None:
            file.write_bytes(data)
        elif not file.exists():
            shutil.copyfile(image.layer, file)
    for directory, target in (
        (_by_digest(layers, config), config),
        (_by_digest(layers, image.layer_digest), image.layer_digest),
        (_by_digest(manifests / "revisions", image.digest), image.digest),
        (_by_digest(manifests / "tags" / tag / "index", image.digest), image.digest),
        (manifests / "tags" / tag / "current", image.digest),
    ):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "link").write_text(target)


def export(storage: Path, name: str, archive: Path) -> None:
    """An image of a registry's storage directory as an archive for ``docker load``, under its short name."""
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
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    }
    if run.entrypoint:
        config["Entrypoint"] = list(run.entrypoint)
    if run.ports:
        config["ExposedPorts"] = {port: {} for port in run.ports}
    if run.volumes:
        config["Volumes"] = {volume: {} for volume in run.volumes}
    if run.user:
        config["User"] = run.user
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


def _by_digest(directory: Path, name: str) -> Path:
    algorithm, _, value = name.partition(":")
    return directory / algorithm / value


def _blob(storage: Path, name: str) -> Path:
    algorithm, _, value = name.strip().partition(":")
    return storage / _BLOBS / algorithm / value[:2] / value / "data"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
