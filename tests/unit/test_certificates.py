"""Certificates of the engines' API: how long they are valid, where expiry is reported, and what a rotation replaces."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
from cryptography import x509

from components.config.platform import Tls
from components.config.settings import Settings, parse
from overlab import doctor
from overlab.core.errors import OverlabError
from overlab.platform import certificates, identity, prepare

NODES = {"docker01": "10.99.0.11", "docker02": "10.99.0.12"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "identity" / "tls"


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def at(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """The clock of the module, this many days from now."""
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    monkeypatch.setattr(certificates, "_now", lambda: now)


def states(tls: Tls) -> dict[str, str]:
    return {one.whose: one.state for one in certificates.validities(tls)}


def is_consistent(tls: Tls) -> None:
    """Every certificate is of this authority and fits the key beside it."""
    authority = x509.load_pem_x509_certificate(tls.ca.read_bytes())
    pairs = [(tls.client_cert, tls.client_key)]
    pairs += [(tls.server_certs[node], tls.server_keys[node]) for node in tls.server_certs]
    for cert, key in pairs:
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
        certificate.verify_directly_issued_by(authority)
        assert certificate.public_key() == certificates._load_key(key).public_key()


def test_a_rotation_renews_every_key_but_the_authoritys(directory: Path) -> None:
    tls = certificates.ensure(directory, "t", NODES)
    before = content(directory)
    assert certificates.rotate(directory, "t", NODES, authority=False) == tls
    after = content(directory)
    assert {name for name in before if before[name] == after[name]} == {"ca.pem", "ca-key.pem"}
    assert before.keys() == after.keys()
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert [path.name for path in directory.parent.iterdir()] == ["tls"]
    is_consistent(tls)


def test_a_rotation_of_the_authority_renews_all(directory: Path) -> None:
    tls = certificates.ensure(directory, "t", NODES)
    before = content(directory)
    certificates.rotate(directory, "t", NODES, authority=True)
    assert not [name for name, data in content(directory).items() if before[name] == data]
    is_consistent(tls)
    certificates.ensure(directory, "t", NODES)
    is_consistent(tls)


@pytest.mark.parametrize("replaced", range(9))
def test_a_rotation_that_is_interrupted_is_ended_or_never_was(
    directory: Path, monkeypatch: pytest.MonkeyPatch, replaced: int
) -> None:
    """Interrupted when so many files were put in place."""
    tls = certificates.ensure(directory, "t", NODES)
    before = content(directory)
    real = os.replace
    done: list[Path] = []

    def interrupted(source: Path, target: Path) -> None:
        if Path(source).parent.name == "tls.new":
            if len(done) == replaced:
                raise KeyboardInterrupt
            done.append(target)
        real(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    if replaced < len(before):
        with pytest.raises(KeyboardInterrupt):
            certificates.rotate(directory, "t", NODES, authority=True)
        assert not certificates.rotation_complete(directory)
    else:
        certificates.rotate(directory, "t", NODES, authority=True)
    monkeypatch.undo()
    certificates.ensure(directory, "t", NODES)
    assert certificates.rotation_complete(directory)
    is_consistent(tls)
    assert not [name for name, data in content(directory).items() if before[name] == data]


def test_one_that_ends_while_it_is_made_leaves_the_old_ones(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = certificates.ensure(directory, "t", NODES)
    before = content(directory)

    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(certificates, "_issue", ends)
    with pytest.raises(KeyboardInterrupt):
        certificates.rotate(directory, "t", NODES, authority=True)
    monkeypatch.undo()
    assert certificates.rotation_complete(directory)
    assert content(directory) == before
    certificates.rotate(directory, "t", NODES, authority=True)
    is_consistent(tls)


def test_what_expires_is_reported_and_not_renewed_automatically(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = certificates.ensure(directory, "t", NODES)
    everyone = ("authority", "client", "server docker01", "server docker02")
    for days, state in ((0, "ok"), (3600, "ok"), (3625, "soon"), (3651, "expired")):
        at(monkeypatch, days)
        assert states(tls) == dict.fromkeys(everyone, state)
    before = content(directory)
    certificates.ensure(directory, "t", NODES)
    assert content(directory) == before


def test_nothing_outlives_the_authority(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = certificates.ensure(directory, "t", NODES)
    at(monkeypatch, 3600)
    certificates.rotate(directory, "t", NODES, authority=False)
    assert len({one.until for one in certificates.validities(tls)}) == 1
    at(monkeypatch, 3651)
    with pytest.raises(OverlabError, match=r"expired on [-0-9]+\n.*overlab rotate --ca"):
        certificates.rotate(directory, "t", NODES, authority=False)
    certificates.rotate(directory, "t", NODES, authority=True)
    assert set(states(tls).values()) == {"ok"}


def test_serials_are_those_that_openssl_prints(directory: Path) -> None:
    tls = certificates.ensure(directory, "t", NODES)
    (client,) = [one for one in certificates.validities(tls) if one.whose == "client"]
    assert int(client.serial, 16) == x509.load_pem_x509_certificate(tls.client_cert.read_bytes()).serial_number


# -- reported by doctor and up -------------------------------------------------------------------------


def lab(api: str) -> Settings:
    return parse({"nodes": dict.fromkeys(NODES), "engine": {"api": api}}, "dev")


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tls:
    """Of a lab whose record is there."""
    found = identity.ensure(tmp_path, "t", NODES)

    class Record:
        identity = found

    monkeypatch.setattr(prepare, "read_record", lambda _: Record)
    assert found.tls is not None
    return found.tls


def rows(settings: Settings) -> dict[str, tuple[str, str | None]]:
    found = [doctor._certificate(*one) for one in doctor._first_to_expire(doctor.expiries(settings))]
    return {row.part: (row.status, row.remedy) for row in found}


def test_doctor_has_a_row_each_for_authority_client_and_servers(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [f"certificate: {whose}" for whose in ("authority", "client", "server")]
    assert rows(lab("tls")) == dict.fromkeys(parts, ("ok", None))
    assert doctor.expiring(lab("tls")) == []
    at(monkeypatch, 3630)
    leaf, ca = "overlab rotate, then overlab up", "overlab rotate --ca, then overlab up"
    assert rows(lab("tls")) == dict(zip(parts, (("warning", ca), ("warning", leaf), ("warning", leaf)), strict=True))
    assert len(doctor.expiring(lab("tls"))) == 3
    at(monkeypatch, 3660)
    assert {status for status, _ in rows(lab("tls")).values()} == {"missing"}
    document = doctor.as_json([], doctor.expiries(lab("tls")))
    assert [one["state"] for one in document["certificates"]] == ["expired"] * 4


def test_the_servers_row_shows_the_first_that_expires(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    tls.server_certs["docker02"].unlink()
    directory = tls.ca.parent
    real = certificates._VALID
    monkeypatch.setattr(certificates, "_VALID", datetime.timedelta(days=10))
    certificates.ensure(directory, "t", NODES)
    monkeypatch.setattr(certificates, "_VALID", real)
    (line,) = doctor.expiring(lab("tls"))
    assert "the first of 2, server docker02" in line
    assert "9 days left" in line


def test_a_lab_without_a_tls_port_has_no_such_rows(tls: Tls) -> None:
    assert rows(lab("ssh")) == {}
