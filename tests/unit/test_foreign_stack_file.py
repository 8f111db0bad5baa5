"""A stack file of somebody else names no program that overlab would run, and no check that it would leave out."""

from __future__ import annotations

import copy
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import libvirt_uri
from components.config.settings import SettingsError, parse
from overlab.core.errors import OverlabError
from overlab.core.paths import cache_root
from overlab.core.progress import Progress
from overlab.platform import cache, given_image

SUM = "ab" * 32
LAB: dict[str, Any] = {
    "nodes": {"docker01": {}},
    "networks": {"n1": {"created_on": "docker01"}},
    "workloads": {"t1": {"node": "docker01", "networks": ["n1"]}},
}


def problems(**platform: object) -> dict[str, tuple[str, str]]:
    try:
        parse(copy.deepcopy(LAB) | {"platform": platform}, "dev")
    except SettingsError as error:
        return {one.path: (one.rule, one.remedy) for one in error.problems}
    return {}


@pytest.mark.parametrize(
    "uri",
    [
        "qemu:///system",
        "qemu:///system?socket=/run/overlab/x/libvirt/libvirt-sock",
        "qemu+ssh://root@hv1.example.net/system",
        "qemu+ssh://root@hv1:2222/system?keyfile=/root/.ssh/hv1&known_hosts=/etc/known&sshauth=agent,privkey",
        "qemu+tls://[fd00::1]:16514/system?pkipath=/etc/pki/lab",
        "qemu+libssh2://hv1/system?known_hosts_verify=normal",
        "qemu:///session",
    ],
)
def test_uris_of_real_sites_are_accepted(uri: str) -> None:
    assert problems(uri=uri) == {}


@pytest.mark.parametrize(
    ("uri", "rule", "remedy"),
    [
        ("qemu+ext:///system?command=/tmp/evil", "may run a program", "use one of these"),
        ("qemu+ext://hv/system", "may run a program", "use one of these"),
        ("vbox:///session", "may run a program", "use one of these"),
        ("esx://root@hv/?no_verify=1", "may run a program", "use one of these"),
        ("qemu+ssh://hv/system?command=/tmp/evil", "run a program or skip", "remove command"),
        ("qemu+ssh://hv/system?comm%61nd=/tmp/evil", "run a program or skip", "remove command"),
        ("qemu+ssh://hv/system?netcat=/tmp/evil", "run a program or skip", "remove netcat"),
        ("qemu+ssh://hv/system?no_verify=1", "run a program or skip", "remove no_verify"),
        ("qemu+ssh://hv/system?no_verify", "run a program or skip", "remove no_verify"),
        ("qemu+ssh://hv/system?known_hosts_verify=ignore", "known_hosts_verify in the form normal", "correct"),
        ("qemu+tls://hv/system?no_sanity=1", "run a program or skip", "remove no_sanity"),
        ("qemu:///system?socket=/s;command=/tmp/evil", "socket in the form", "correct socket"),
        ("qemu:///system?keyfile=/k%3Bcommand=x", "keyfile in the form", "correct keyfile"),
        ("qemu+ssh://-oProxyCommand=evil/system", "a host", "correct it"),
        ("qemu+ssh://-x@hv/system", "a host", "correct it"),
        ("qemu+ssh://root:secret@hv/system", "a host", "correct it"),
        ("qemu+ssh://$(id)/system", "a host", "correct it"),
        ("qemu:///embed?root=/etc", "the path /system", "write it"),
        ("qemu+ssh://[::1/system", "a libvirt URI", "correct it"),
        ("qemu:///system#x", "a libvirt URI", "change it"),
        ("/etc/passwd", "a libvirt URI", "change it"),
    ],
)
def test_a_uri_that_runs_a_program_or_verifies_nothing_is_refused(uri: str, rule: str, remedy: str) -> None:
    for found in (problems(uri=uri), problems(hypervisors={"hv": {"uri": uri}})):
        [(said, advice)] = found.values()
        assert rule in said
        assert remedy in advice


@given(st.sampled_from(["qemu+ssh://h/system?", "qemu:///system?", "qemu+"]), st.text(st.characters(codec="ascii")))
def test_no_text_gets_another_parameter_through(start: str, rest: str) -> None:
    if not problems(uri=start + rest):
        assert not {"command", "netcat", "no_verify", "no_sanity", "ext"} & set(rest.replace(";", "&").split("=")[::2])
        assert start + rest == libvirt_uri.check(start + rest)


def test_the_cli_is_named_by_the_environment_only() -> None:
    assert problems(pulumi="/tmp/evil") == {
        "lab.platform.pulumi": (
            "unknown key",
            "write the path into the environment variable OVERLAB_PULUMI: a stack file names no program that overlab"
            " runs",
        )
    }


# -- images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "rule"),
    [
        ({"image": "http://example.net/x.qcow2"}, "anyone on the way could exchange"),
        ({"image": "ftp://example.net/x"}, "a path, or an http or https URL"),
        ({"image": "file:///etc/shadow"}, "a path, or an http or https URL"),
        ({"image": "json:{}"}, "a path, or an http or https URL"),
        ({"image": "/x", "image_sha256": "abc"}, "64 lower-case hex digits"),
        ({"image_sha256": SUM}, "only with platform.image"),
    ],
)
def test_an_image_that_nobody_vouches_for_is_refused(platform: dict[str, str], rule: str) -> None:
    [(said, _)] = problems(**platform).values()
    assert rule in said


@pytest.mark.parametrize(
    "platform",
    [{"image": "http://example.net/x", "image_sha256": SUM}, {"image": "https://example.net/x"}, {"image": "/x"}],
)
def test_an_image_with_a_source_is_accepted(platform: dict[str, str]) -> None:
    assert problems(**platform) == {}


def qcow2(file: Path, *, version: int = 3, backing: int = 0, features: int = 0) -> str:
    header = b"QFI\xfb" + version.to_bytes(4, "big") + backing.to_bytes(8, "big")
    file.write_bytes(header.ljust(72, b"\0") + features.to_bytes(8, "big") + b"\0" * 100)
    return str(file)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERLAB_CACHE", str(tmp_path / "cache"))


def test_an_images_checksum_is_verified(tmp_path: Path) -> None:
    source = qcow2(tmp_path / "image")
    digest = cache.file_digest(tmp_path / "image")
    assert given_image.ensure(source, digest, Progress(quiet=True)).content_hash == digest[:16]
    assert given_image.ensure(source, None, Progress(quiet=True)).source == source
    with pytest.raises(OverlabError, match=f"has the SHA-256 {digest}, not overlab:lab platform.image_sha256"):
        given_image.ensure(source, SUM, Progress(quiet=True))


@pytest.mark.parametrize(
    ("header", "kind"),
    [({"backing": 104}, "backing"), ({"version": 2, "backing": 72}, "backing"), ({"features": 4}, "data")],
)
def test_an_image_that_names_another_file_is_refused(tmp_path: Path, header: dict[str, int], kind: str) -> None:
    source = qcow2(tmp_path / "image", **header)
    with pytest.raises(OverlabError, match=f"names a {kind} file"):
        given_image.ensure(source, None, Progress(quiet=True))


@given(st.binary(max_size=100))
def test_any_file_is_an_image_or_refused(data: bytes) -> None:
    file = Path(cache_root().parent, "any")
    file.write_bytes(data)
    try:
        given_image.ensure(str(file), None, Progress(quiet=True))
    except OverlabError:
        assert data.startswith(b"QFI\xfb")


def test_an_image_by_url_is_fetched_once_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = qcow2(tmp_path / "image")
    opened: list[str] = []

    def answer(url: str, timeout: float) -> Any:
        assert timeout > 0
        opened.append(url)
        return Path(source).open("rb")

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    url, digest = "https://example.net/image", cache.file_digest(tmp_path / "image")
    for _ in range(2):
        found = given_image.ensure(url, digest, Progress(quiet=True))
        assert Path(found.source).read_bytes() == Path(source).read_bytes()
    assert opened == [url]
    with pytest.raises(OverlabError, match="has the SHA-256"):
        given_image.ensure(url, SUM, Progress(quiet=True))
    assert not list((tmp_path / "cache" / "given-image").glob(".tmp-*"))


def test_an_image_that_cannot_be_fetched_is_named(tmp_path: Path) -> None:
    with pytest.raises(OverlabError, match=r"http://127\.0\.0\.1:9/x cannot be fetched"):
        given_image.ensure("http://127.0.0.1:9/x", SUM, Progress(quiet=True))
