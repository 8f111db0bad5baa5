"""The lab's certificates, and what the engines' TLS ports make of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cryptography import x509

from components.config.platform import Tls
from components.config.settings import parse, read_stack_file
from tests.e2e.lab import PROJECT, RealLab

_SERIAL = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.load_cert_chain(sys.argv[3], sys.argv[4])
with socket.create_connection((sys.argv[1], 2376), 30) as plain:
    with context.wrap_socket(plain, server_hostname=sys.argv[1]) as wrapped:
        print(wrapped.getpeercert()["serialNumber"])
"""


def named(lab: RealLab) -> Tls:
    """Those of the platform record."""
    return Tls.model_validate(lab.record()["identity"]["tls"])


def copied(lab: RealLab, directory: Path) -> Tls:
    """Copies of them, to have when they are replaced."""
    directory.mkdir()
    tls = named(lab)

    def copy(path: Path) -> Path:
        return Path(shutil.copy(path, directory))

    return Tls(
        ca=copy(tls.ca),
        client_cert=copy(tls.client_cert),
        client_key=copy(tls.client_key),
        server_certs={node: copy(path) for node, path in tls.server_certs.items()},
        server_keys={node: copy(path) for node, path in tls.server_keys.items()},
    )


def states(lab: RealLab) -> list[str]:
    """Of every certificate, as ``overlab doctor`` says."""
    return [one["state"] for one in json.loads(lab.overlab("doctor", "--json").stdout)["certificates"]]


def started(lab: RealLab) -> dict[str, str]:
    """When each container of each node was started, by id."""
    found: dict[str, str] = {}
    for node in parse(read_stack_file(PROJECT, lab.stack), lab.stack).nodes:
        listed = lab.on(node, "docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Pid}}' $(docker ps -q)")
        found |= dict(line.split(" ", 1) for line in listed.splitlines())
    return found


def serial(certs: dict[str, Path], address: str) -> int:
    """Of the certificate for this address."""
    for path in certs.values():
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if address in map(str, names.get_values_for_type(x509.IPAddress)):
            return certificate.serial_number
    raise AssertionError(f"no certificate for {address}")


def served(lab: RealLab, address: str, authority: Path) -> int:
    """Serial of the certificate that an engine shows to one who trusts this authority."""
    beside = authority.parent
    arguments = [address, authority, beside / "client.pem", beside / "client-key.pem"]
    return int(lab.in_network("python3", "-c", _SERIAL, *map(str, arguments)).ok().stdout, 16)


def answers(lab: RealLab, address: str, tls: Tls) -> bool:
    """Whether an engine answers this client; the server is believed in any case."""
    client = ["--cert", str(tls.client_cert), "--key", str(tls.client_key)]
    done = lab.in_network("curl", "-sS", "-k", "-m", "20", *client, f"https://{address}:2376/_ping")
    return done.stdout == "OK"
