"""Container images are the same bytes each time, whatever the build left in the tree's times and order."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from overlab.platform import oci

RUN = oci.Run(command=("sh",), entrypoint=("/init",), ports=("80/tcp",), volumes=("/data",), stop_signal="SIGQUIT")


def tree(root: Path, names: list[str], mtime: int) -> Path:
    root.mkdir()
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
        (root / name).chmod(0o640)
    (root / "link").symlink_to("a/one")
    (root / "a").chmod(0o1777)
    for path in root.rglob("*"):
        os.utime(path, (mtime, mtime), follow_symlinks=False)
    return root


def test_an_image_built_again_has_the_same_digest(tmp_path: Path) -> None:
    names = ["a/one", "a/two", "b", "c/d/e"]
    first = oci.build(tree(tmp_path / "t1", names, 10**9), tmp_path / "l1", RUN)
    second = oci.build(tree(tmp_path / "t2", names[::-1], 1), tmp_path / "l2", RUN)
    assert first.digest == second.digest
    assert (tmp_path / "l1").read_bytes() == (tmp_path / "l2").read_bytes()


@pytest.mark.parametrize("change", ["content", "mode", "name", "run"])
def test_what_matters_changes_the_digest(tmp_path: Path, change: str) -> None:
    root = tree(tmp_path / "t", ["a/one"], 1)
    before = oci.build(root, tmp_path / "l1", RUN)
    run = RUN
    if change == "content":
        (root / "a/one").write_text("two")
    elif change == "mode":
        (root / "a/one").chmod(0o600)
    elif change == "name":
        (root / "a/one").rename(root / "a/uno")
    else:
        run = oci.Run(command=("ash",))
    assert oci.build(root, tmp_path / "l2", run).digest != before.digest


def test_layer_and_documents_describe_tree_and_run(tmp_path: Path) -> None:
    image = oci.build(tree(tmp_path / "t", ["a/one"], 5), tmp_path / "l", RUN)
    with tarfile.open(image.layer) as layer:
        members = {member.name: member for member in layer}
    assert list(members) == ["link", "a", "a/one"]
    assert members["link"].linkname == "a/one"
    assert (members["a"].mode, members["a/one"].mode, members["a/one"].mtime) == (0o1777, 0o640, 0)
    config = json.loads(image.config)
    assert config["rootfs"]["diff_ids"] == [image.layer_digest]
    assert config["config"]["Entrypoint"] == ["/init"]
    assert config["config"]["Cmd"] == ["sh"]
    assert config["config"]["Volumes"] == {"/data": {}}
    assert config["config"]["ExposedPorts"] == {"80/tcp": {}}
    assert config["config"]["StopSignal"] == "SIGQUIT"
    manifest = json.loads(image.manifest)
    assert manifest["config"]["digest"] == oci.digest(image.config)
    assert manifest["layers"] == [
        {"mediaType": oci.LAYER, "size": image.layer.stat().st_size, "digest": image.layer_digest}
    ]


def test_an_image_in_a_registrys_storage_is_exported_for_docker_load(tmp_path: Path) -> None:
    image = oci.build(tree(tmp_path / "t", ["a/one"], 5), tmp_path / "l", RUN)
    blobs = {image.layer_digest: image.layer.read_bytes(), oci.digest(image.config): image.config}
    oci.store(image, "library/x:1", tmp_path)
    oci.export(tmp_path, "library/x:1", tmp_path / "archive.tar")
    contents = {}
    with tarfile.open(tmp_path / "archive.tar") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            contents[member.name] = file.read()
    (entry,) = json.loads(contents.pop("manifest.json"))
    assert entry == {"Config": oci.digest(image.config), "RepoTags": ["x:1"], "Layers": [image.layer_digest]}
    assert contents == blobs


def test_an_image_with_two_names_is_stored_once(tmp_path: Path) -> None:
    image = oci.build(tree(tmp_path / "t", ["a/one"], 5), tmp_path / "l", RUN)
    for name in ("library/x:1", "other/x:1", "library/x:2"):
        oci.store(image, name, tmp_path)
    assert len(list((tmp_path / "docker/registry/v2/blobs").rglob("data"))) == 3
    assert len(list((tmp_path / "docker/registry/v2/repositories").rglob("tags/*/current/link"))) == 3
