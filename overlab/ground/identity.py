"""Keys and certificates of one lab, made once with the lab and extended when nodes are added.

Everything is below one 0700 directory, every file 0600 but the public halves' content is of course public. Existing
keys are never replaced; known_hosts and server certificates follow a node's address.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.ground import HostKey, Identity, Tls
from overlab.ground.process import write_private

_VALID = datetime.timedelta(days=3650)
_BACKDATE = datetime.timedelta(hours=24)  # a machine's clock may be behind this one's
_RENEW_BEFORE = datetime.timedelta(days=30)


def ensure(directory: Path, lab: str, nodes: Mapping[str, str]) -> Identity:
    """Make what is missing. ``nodes`` maps a node's key to its address."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    client = directory / "client"
    _ssh_key(client, f"overlab-{lab}")
    host_keys = {}
    known_hosts = []
    for node, address in nodes.items():
        private = directory / "hosts" / node
        line = _ssh_key(private, f"{node}.{lab}")
        host_keys[node] = HostKey(private=private, public=_public(private))
        known_hosts.append(f"{address} {' '.join(line.split()[:2])}\n")
    _write(directory / "known_hosts", "".join(known_hosts).encode())
    return Identity(
        client_key=client,
        client_public_key=_public(client),
        known_hosts=directory / "known_hosts",
        host_keys=host_keys,
        tls=_ensure_tls(directory / "tls", lab, nodes),
        gossip_key=_ensure_gossip_key(directory / "gossip"),
    )


def _ensure_gossip_key(path: Path) -> Path:
    """A random key for the store's gossip; an existing one is kept, or the servers would lose each other."""
    if not path.exists():
        write_private(path, base64.b64encode(secrets.token_bytes(32)))
    return path


def ensure_passphrase(path: Path) -> None:
    """A random passphrase for the stack's secrets; an existing one is kept, or the secrets would be lost."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())


# -- SSH -------------------------------------------------------------------------------------------


def _ssh_key(private: Path, comment: str) -> str:
    """The public line of an ed25519 key, which is made if missing. A missing public half is made from the private."""
    public = _public(private)
    if not private.exists():
        key = Ed25519PrivateKey.generate()
        write_private(private, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public.unlink(missing_ok=True)
    if not public.exists():
        key_on_disk = load_ssh_private_key(private.read_bytes(), password=None)
        text = key_on_disk.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        write_private(public, f"{text} {comment}\n".encode())
    return public.read_text()


def _public(private: Path) -> Path:
    return private.with_name(private.name + ".pub")


def _write(path: Path, data: bytes) -> None:
    """Touch a file only when its content changes."""
    if not path.exists() or path.read_bytes() != data:
        write_private(path, data)


# -- TLS -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _ensure_tls(directory: Path, lab: str, nodes: Mapping[str, str]) -> Tls:
    authority = _authority(directory, lab)
    client_cert, client_key = directory / "client.pem", directory / "client-key.pem"
    _issue(authority, client_cert, client_key, f"overlab {lab} client", [], ExtendedKeyUsageOID.CLIENT_AUTH)
    certs, keys = {}, {}
    for node, address in nodes.items():
        certs[node], keys[node] = directory / f"server-{node}.pem", directory / f"server-{node}-key.pem"
        names: list[x509.GeneralName] = [x509.DNSName(node)]
        names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in (address, "127.0.0.1")]
        _issue(authority, certs[node], keys[node], node, names, ExtendedKeyUsageOID.SERVER_AUTH)
    return Tls(
        ca=directory / "ca.pem", client_cert=client_cert, client_key=client_key, server_certs=certs, server_keys=keys
    )


def _authority(directory: Path, lab: str) -> _Authority:
    """The lab's CA. The certificate is written last: without it the key was never used."""
    cert_file, key_file = directory / "ca.pem", directory / "ca-key.pem"
    if not cert_file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"overlab {lab} CA")])
        certificate = (
            _builder(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(key_file, _pem(key))
        write_private(cert_file, certificate.public_bytes(Encoding.PEM))
    return _Authority(x509.load_pem_x509_certificate(cert_file.read_bytes()), _load_key(key_file))


def _issue(
    authority: _Authority,
    cert_file: Path,
    key_file: Path,
    common_name: str,
    names: list[x509.GeneralName],
    usage: x509.ObjectIdentifier,
) -> None:
    """A certificate by the lab's CA; kept while it fits names, CA and clock. The key is kept in any case."""
    if not key_file.exists():
        write_private(key_file, _pem(ec.generate_private_key(ec.SECP256R1())))
    key = _load_key(key_file)
    if cert_file.exists() and _fits(x509.load_pem_x509_certificate(cert_file.read_bytes()), authority, key, names):
        return
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        _builder(subject, authority.certificate.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    write_private(cert_file, builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM))


def _fits(
    certificate: x509.Certificate,
    authority: _Authority,
    key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # noqa: BLE001 - any way in which it is not ours means that it does not fit
        return False
    alternative = [
        list(extension.value)
        for extension in certificate.extensions
        if isinstance(extension.value, x509.SubjectAlternativeName)
    ]
    return (
        (alternative[0] if alternative else []) == names
        and certificate.public_key() == key.public_key()
        and certificate.not_valid_after_utc > _now() + _RENEW_BEFORE
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _BACKDATE)
        .not_valid_after(_now() + _VALID)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} is not an EC key")
    return key


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
