"""The mirror is read from apt, whatever the source format, and never from a third party's archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from overlab.core.errors import OverlabError
from overlab.platform import mirror
from overlab.platform.mirror import Mirror

DEB822 = """\
Types: deb
URIs: http://deb.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://sec.example.org/debian-security/
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
# deb http://commented.example.org/debian bookworm main
deb https://vendor.example.org/tool stable-tool main
deb [arch=amd64] http://deb.example.org/debian/ bookworm main contrib
deb http://sec.example.org/debian-security bookworm-security main
"""


def apt(tmp_path: Path, name: str, text: str) -> list[str]:
    """Options that make apt read these sources and no others."""
    parts = tmp_path / "parts"
    lists = tmp_path / "lists"
    parts.mkdir()
    lists.mkdir()
    (parts / name).write_text(text)
    settings = {"Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": parts, "Dir::State::lists": lists}
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


@pytest.mark.parametrize(("name", "text"), [("debian.sources", DEB822), ("debian.list", ONE_LINE)])
def test_both_source_formats_are_read(tmp_path: Path, name: str, text: str) -> None:
    found = mirror.detect(apt(tmp_path, name, text))
    assert found == Mirror("http://deb.example.org/debian", "http://sec.example.org/debian-security")


def test_sources_of_another_release_come_from_the_same_mirror() -> None:
    assert Mirror("http://m/debian", "http://s/debian-security").sources("bullseye") == [
        "deb [check-valid-until=no] http://m/debian bullseye main",
        "deb [check-valid-until=no] http://s/debian-security bullseye-security main",
    ]


def test_a_third_party_archive_is_never_used_as_debian() -> None:
    found = mirror.parse(
        "http://vendor/apt\tbookworm\tVendor\tVendor\n"
        "http://m/debian\tbookworm-updates\tDebian\tDebian\n"
        "http://m/debian\tbookworm\tDebian\tDebian\n"
        "http://m/sec\tbookworm-security\tDebian\tDebian-Security\n"
    )
    assert found == Mirror("http://m/debian", "http://m/sec")


def test_without_a_security_source_the_sibling_archive_is_assumed() -> None:
    assert mirror.parse("http://m/debian/\tbookworm\t\t\n").security == "http://m/debian-security"


@pytest.mark.parametrize(
    "listing", ["", "http://vendor/apt\tnodistro\t\t\n", "http://u/ubuntu\tnoble\tUbuntu\tUbuntu\n"]
)
def test_no_debian_archive_is_an_error_with_the_remedy(listing: str) -> None:
    with pytest.raises(OverlabError, match=r"no Debian archive.*\n.*OVERLAB_DEBIAN_MIRROR"):
        mirror.parse(listing)


def test_the_environment_names_a_mirror_where_apt_knows_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ubuntu = apt(tmp_path, "ubuntu.list", "deb http://vendor.example.org/ubuntu noble main\n")
    with pytest.raises(OverlabError, match="OVERLAB_DEBIAN_MIRROR=URL"):
        mirror.detect(ubuntu)
    monkeypatch.setenv("OVERLAB_DEBIAN_MIRROR", "http://m/debian/")
    assert mirror.detect(ubuntu) == Mirror("http://m/debian", "http://m/debian-security")
    monkeypatch.setenv("OVERLAB_DEBIAN_SECURITY_MIRROR", "http://s/security")
    assert mirror.detect(ubuntu) == Mirror("http://m/debian", "http://s/security")
