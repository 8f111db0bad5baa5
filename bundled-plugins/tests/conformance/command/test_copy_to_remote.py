"""``command:remote:CopyToRemote`` against a real sshd's SFTP."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from bundled_plugins.runtime.values import UNKNOWN, Archive, Asset, Secret

from conformance.command.conftest import COPY, Host
from conformance.harness import ROOT, CallFailed, Provider, Refused
from conformance.sshd import Sshd, private_sshd

pytestmark = pytest.mark.root


def text(content: str) -> Asset:
    return Asset("text", content, hashlib.sha256(content.encode()).hexdigest())


def file(path: Path) -> Asset:
    return Asset("path", str(path), hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "dest"


def _copy(plugin: Provider, name: str, inputs: dict[str, object]) -> None:
    plugin.resource(COPY, name).up(inputs)


def _refused(plugin: Provider, name: str, inputs: dict[str, object]) -> str:
    with pytest.raises(CallFailed) as caught:
        _copy(plugin, name, inputs)
    return caught.value.message


# the table of sources and destinations


def test_a_text_makes_the_file_and_its_parents_and_writes_over(plugin: Provider, host: Host, dest: Path) -> None:
    for content in ("long content", "äöü"):
        _copy(plugin, "text", host.copy(text(content), dest / "x" / "file"))
        assert (dest / "x" / "file").read_text() == content


def test_a_text_needs_a_file_path(plugin: Provider, host: Host, tmp_path: Path) -> None:
    assert _refused(plugin, "text-dir", host.copy(text("x"), tmp_path)) == (
        f"remote path {tmp_path} is a directory; when using a text asset, remotePath must be a file path"
    )


def test_a_file_goes_into_a_directory_over_a_file_or_to_a_new_path(
    plugin: Provider, host: Host, tmp_path: Path, dest: Path
) -> None:
    source = tmp_path / "a.txt"
    source.write_text("a")
    (tmp_path / "link").symlink_to(source)
    dest.mkdir()
    (dest / "old").write_text("much longer than the new one")
    for target in (dest, dest / "old", dest / "new" / "name"):
        _copy(plugin, "file", host.copy(file(source), target))
    _copy(plugin, "link", host.copy(file(tmp_path / "link"), dest / "linked"))
    for path in (dest / "a.txt", dest / "old", dest / "new" / "name", dest / "linked"):
        assert path.read_text() == "a"
        assert not path.is_symlink()


def test_a_source_that_cannot_be_read_is_named(plugin: Provider, host: Host, tmp_path: Path, dest: Path) -> None:
    missing = Asset("path", str(tmp_path / "none"), "h")
    assert f"failed to stat local path {tmp_path}/none" in _refused(plugin, "missing", host.copy(missing, dest))
    for name, create in (("fifo", os.mkfifo), ("folder", os.mkdir)):
        create(tmp_path / name)
        source = Asset("path", str(tmp_path / name), "h")
        assert _refused(plugin, name, host.copy(source, dest)).startswith(
            f"failed to copy file {tmp_path}/{name} to remote path {dest}: not a regular file"
        )


def test_a_destination_that_cannot_be_written_is_named(plugin: Provider, host: Host, dest: Path) -> None:
    dest.write_text("a file")
    assert _refused(plugin, "no-parent", host.copy(text("x"), dest / "sub" / "x")) == (
        f"failed to create parent directories for {dest}/sub/x: remote path {dest} exists but is not a directory"
    )
    assert _refused(plugin, "full", host.copy(text("x" * 1_000_000), "/dev/full")).startswith(
        "failed to copy file the text asset to remote path /dev/full: "
    )
    assert _refused(plugin, "proc", host.copy(text("x"), "/proc/x")).startswith(
        "failed to create remote file /proc/x: "
    )


def test_a_relative_path_starts_at_home(own_plugin: Provider, tmp_path: Path) -> None:
    with private_sshd(tmp_path / "sshd", Subsystem=f"sftp internal-sftp -d {tmp_path}") as server:
        _copy(own_plugin, "home", Host(server).copy(text("x"), "sub/file"))
    assert (tmp_path / "sub" / "file").read_text() == "x"


def test_paths_are_relative_to_the_program(plugin: Provider, host: Host, dest: Path) -> None:
    _copy(plugin, "relative", host.copy(Asset("path", "pyproject.toml", "h"), dest / "copy"))
    assert (dest / "copy").read_bytes() == (ROOT / "pyproject.toml").read_bytes()


# lifecycle


def test_outputs_are_the_inputs(plugin: Provider, host: Host, dest: Path) -> None:
    resource = plugin.resource(COPY, "outputs")
    inputs = host.copy(text("x"), dest, triggers=["1"])
    resource.up(inputs)
    assert set(resource.outputs) == {"connection", "source", "remotePath", "triggers"}
    assert isinstance(resource["connection"], Secret)
    assert resource["source"] == text("x")
    assert len(resource.id) == 8


def test_copies_again_only_when_content_path_or_trigger_change(plugin: Provider, host: Host, dest: Path) -> None:
    resource = plugin.resource(COPY, "again")
    resource.up(host.copy(text("x"), dest / "f"))
    (dest / "f").unlink()

    assert resource.up(host.copy(text("x"), dest / "f")) == "same"
    changed = host.copy(text("x"), dest / "f")
    changed["connection"] = Secret(host.server.connection(dialErrorLimit=3))
    assert resource.up(changed) == "update"
    assert not (dest / "f").exists(), "a changed connection alone copies nothing"

    assert resource.up(changed | {"source": text("y")}) == "update"
    assert (dest / "f").read_text() == "y"
    assert resource.up(changed | {"source": text("y"), "remotePath": str(dest / "g")}) == "update"
    assert (dest / "g").read_text() == "y"
    (dest / "g").unlink()
    assert resource.up(changed | {"source": text("y"), "remotePath": str(dest / "g"), "triggers": [1]}) == "replace"
    assert (dest / "g").read_text() == "y"


def test_delete_leaves_the_file_and_needs_no_host(own_plugin: Provider, own_sshd: Sshd, dest: Path) -> None:
    resource = own_plugin.resource(COPY, "left")
    resource.up(Host(own_sshd).copy(text("x"), dest))
    own_sshd.stop()
    assert resource.refresh()
    resource.destroy()
    assert dest.read_text() == "x"


@pytest.mark.bundled_only("refusals")
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Asset("uri", "http://x", "h"), "a source of type Asset with a URL is not supported by the bundled plugin"),
        (Archive("path", "/x", "h"), "a source of type Archive is not supported by the bundled plugin"),
        ("a string", "a source of type str is not supported by the bundled plugin"),
    ],
)
def test_other_sources_are_refused_in_check(plugin: Provider, host: Host, source: object, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        plugin.check(COPY, "bad", host.copy(source, "/x"))
    assert caught.value.reason("source").startswith(reason)


@pytest.mark.bundled_only("plans")
def test_an_unknown_source_passes_in_a_preview(plugin: Provider, host: Host) -> None:
    inputs = plugin.check(COPY, "unknown", host.copy(UNKNOWN, "/x") | {"connection": UNKNOWN})
    assert inputs["source"] is UNKNOWN
    assert plugin.preview(COPY, "unknown", inputs)["source"] is UNKNOWN


def test_a_server_without_sftp(own_plugin: Provider, tmp_path: Path) -> None:
    with private_sshd(tmp_path / "sshd", Subsystem="other /bin/true") as server:
        message = _refused(own_plugin, "no-sftp", Host(server).copy(text("x"), tmp_path / "x"))
    assert message.startswith("failed to open an SFTP session on root@127.0.0.1:")
    assert "Subsystem sftp internal-sftp" in message


def test_a_dead_shared_connection_is_replaced_unnoticed(own_plugin: Provider, own_sshd: Sshd, dest: Path) -> None:
    _copy(own_plugin, "before", Host(own_sshd).copy(text("x"), dest / "1"))
    own_sshd.stop()
    own_sshd.start()
    _copy(own_plugin, "after", Host(own_sshd).copy(text("x"), dest / "2"))
    assert (dest / "2").read_text() == "x"


def test_a_large_file_arrives_complete_and_fast(plugin: Provider, host: Host, tmp_path: Path, dest: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(60_000_000))
    started = time.monotonic()
    _copy(plugin, "large", host.copy(file(large), dest / "large"))
    took = time.monotonic() - started
    assert (dest / "large").read_bytes() == large.read_bytes()
    assert took < 30, f"{60 / took:.1f} MB/s"


@pytest.mark.bundled_only("limits")
def test_a_time_limit_ends_a_copy(own_plugin: Provider, host: Host, tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    with endless.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CallFailed) as caught:
        own_plugin.resource(COPY, "endless").up(host.copy(Asset("path", str(endless), "h"), "/dev/null"), timeout=1)
    assert caught.value.message.startswith("context deadline exceeded")
