"""The lab's certificate authorities, for the engines' API and for the store's RPC; what they issue, and its validity.

All in one directory, every file 0600. Nothing is renewed automatically: expiry is reported, and the user calls
:func:`rotate`, so that an ``up`` does the same tomorrow as today.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.config.platform import StoreTls, Tls
from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.removal import remove

SOON = datetime.timedelta(days=30)
_VALID = datetime.timedelta(days=3650)
_BACKDATE = datetime.timedelta(hours=24)  # a machine's clock may be behind this one's
_STORE_SERVER = "server.dc1.consul"
"""The name by which Consul's agents know a server of their data center."""
T = TypeVar("T")
_CA, _CA_KEY = "ca.pem", "ca-key.pem"


def ensure(directory: Path, lab: str, nodes: Mapping[str, str]) -> Tls:
    """Create what is missing or does not match a node's address or the authority. ``nodes``: key -> address."""
    _finish(directory)
    authority = _authority(directory, f"overlab {lab} CA")
    client_cert, client_key = directory / "client.pem", directory / "client-key.pem"
    _issue(authority, client_cert, client_key, f"overlab {lab} client", [], [ExtendedKeyUsageOID.CLIENT_AUTH])
    certs, keys = {}, {}
    for node, address in nodes.items():
        certs[node], keys[node] = directory / f"server-{node}.pem", directory / f"server-{node}-key.pem"
        names: list[x509.GeneralName] = [x509.DNSName(node)]
        names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in (address, "127.0.0.1")]
        _issue(authority, certs[node], keys[node], node, names, [ExtendedKeyUsageOID.SERVER_AUTH])
    return Tls(ca=directory / _CA, client_cert=client_cert, client_key=client_key, server_certs=certs, server_keys=keys)


def ensure_store(directory: Path, lab: str, nodes: Collection[str], servers: Collection[str]) -> StoreTls:
    """The same for the store: each agent's certificate is used as a server's and as a client's."""
    _finish(directory)
    authority = _authority(directory, f"overlab {lab} store CA")
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certs, keys = {}, {}
    for node in nodes:
        certs[node], keys[node] = directory / f"{node}.pem", directory / f"{node}-key.pem"
        names: list[x509.GeneralName] = [x509.DNSName(node)]
        names += [x509.DNSName(_STORE_SERVER)] if node in servers else []
        _issue(authority, certs[node], keys[node], node, names, usage)
    return StoreTls(ca=directory / _CA, certs=certs, keys=keys)


# -- rotation --------------------------------------------------------------------------------------


def rotate(directory: Path, lab: str, nodes: Mapping[str, str], *, authority: bool) -> Tls:
    """New keys and certificates for the client and every server; with ``authority`` of a new authority too.

    Atomic: an interruption leaves the old set, or a complete new one that :func:`ensure` installs.
    """
    return _rotate(directory, lambda at: ensure(at, lab, nodes), authority=authority)


def rotate_store(
    directory: Path, lab: str, nodes: Collection[str], servers: Collection[str], *, authority: bool
) -> StoreTls:
    """The same for the store's."""
    return _rotate(directory, lambda at: ensure_store(at, lab, nodes, servers), authority=authority)


def _rotate(directory: Path, make: Callable[[Path], T], *, authority: bool) -> T:
    _finish(directory)
    making = directory.with_name(f"{directory.name}.making")
    remove(making, directory.parent)
    making.mkdir(parents=True, mode=0o700)
    if not authority and (directory / _CA).exists():
        for name in (_CA_KEY, _CA):
            write_private(making / name, (directory / name).read_bytes())
    make(making)
    making.rename(_complete(directory))
    return make(directory)


def rotation_complete(directory: Path) -> bool:
    """False where a rotation was interrupted."""
    return not _complete(directory).exists()


def _finish(directory: Path) -> None:
    """Install a complete new set over the old files, whose names stay."""
    complete = _complete(directory)
    if complete.exists():
        directory.mkdir(exist_ok=True, mode=0o700)
        for file in sorted(complete.iterdir()):
            os.replace(file, directory / file.name)
        complete.rmdir()


def _complete(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.new")


# -- validity --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Validity:
    """How long a certificate is valid."""

    whose: str
    """``authority``, ``client`` or ``server NODE``."""
    serial: str
    """In hex, as openssl prints it."""
    until: str
    """UTC, ISO 8601."""
    days: int
    """Full days that are left; negative where it has expired."""

    @property
    def state(self) -> Literal["ok", "soon", "expired"]:
        if self.days < 0:
            return "expired"
        return "soon" if self.days < SOON.days else "ok"

    @property
    def remedy(self) -> str | None:
        """The commands that renew it."""
        if self.state == "ok":
            return None
        return f"overlab rotate{' --ca' if self.whose == 'authority' else ''}, then overlab up"


def validities(tls: Tls) -> list[Validity]:
    """Of the authority, the client and every server. Raises OSError or ValueError for a file that cannot be read."""
    files = {"authority": tls.ca, "client": tls.client_cert}
    files |= {f"server {node}": path for node, path in tls.server_certs.items()}
    return [_validity(whose, x509.load_pem_x509_certificate(path.read_bytes())) for whose, path in files.items()]


def _validity(whose: str, certificate: x509.Certificate) -> Validity:
    until = certificate.not_valid_after_utc
    return Validity(whose, f"{certificate.serial_number:X}", until.isoformat(), (until - _now()).days)


# -- issuing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _authority(directory: Path, common_name: str) -> _Authority:
    """A CA of the lab. The certificate is written last: without it the key was never used."""
    cert_file, key_file = directory / _CA, directory / _CA_KEY
    if not cert_file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name, identifier = _name(common_name), x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = _sign(name, key, name, key, _now() + _VALID, identifier, ca=True)
        write_private(key_file, _pem(key))
        write_private(cert_file, certificate.public_bytes(Encoding.PEM))
    return _Authority(x509.load_pem_x509_certificate(cert_file.read_bytes()), _load_key(key_file))


def _issue(
    authority: _Authority,
    cert_file: Path,
    key_file: Path,
    common_name: str,
    names: list[x509.GeneralName],
    usage: list[x509.ObjectIdentifier],
) -> None:
    """A certificate by the lab's CA; kept while it matches names, CA and key. The key is always kept."""
    if not key_file.exists():
        write_private(key_file, _pem(ec.generate_private_key(ec.SECP256R1())))
    key = _load_key(key_file)
    if cert_file.exists():
        existing = x509.load_pem_x509_certificate(cert_file.read_bytes())
        if _is_current(existing, authority, key, names):
            return
    ends = authority.certificate.not_valid_after_utc
    if ends <= _now():
        raise OverlabError(f"the lab's certificate authority expired on {ends:%Y-%m-%d}", "overlab rotate --ca")
    extensions: list[x509.ExtensionType] = [
        x509.ExtendedKeyUsage(usage),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
    ]
    if names:
        extensions.append(x509.SubjectAlternativeName(names))
    # not longer than the authority's: it would look valid and be rejected
    until = min(ends, _now() + _VALID)
    issuer = authority.certificate.subject
    certificate = _sign(_name(common_name), key, issuer, authority.key, until, *extensions, ca=False)
    write_private(cert_file, certificate.public_bytes(Encoding.PEM))


def _is_current(
    certificate: x509.Certificate,
    authority: _Authority,
    key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # noqa: BLE001 - whatever fails, it is not issued by this CA
        return False
    alternative = [
        list(extension.value)
        for extension in certificate.extensions
        if isinstance(extension.value, x509.SubjectAlternativeName)
    ]
    return (alternative[0] if alternative else []) == names and certificate.public_key() == key.public_key()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _sign(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    until: datetime.datetime,
    *extensions: x509.ExtensionType,
    ca: bool,
) -> x509.Certificate:
    others = "content_commitment key_encipherment data_encipherment key_agreement encipher_only decipher_only".split()
    usage = dict.fromkeys(others, False) | {"digital_signature": not ca, "key_cert_sign": ca, "crl_sign": ca}
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(_now() - _BACKDATE)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} is not an EC key")
    return key


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
