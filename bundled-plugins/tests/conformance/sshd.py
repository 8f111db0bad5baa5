"""A private sshd on loopback, with its own keys and configuration, for tests that log in somewhere for real."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

START_LIMIT_S = 15
_SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True)
class Key:
    """An Ed25519 key pair as texts."""

    private: str
    public: str

    @classmethod
    def generate(cls) -> Key:
        key = ed25519.Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        return cls(private.decode(), public.decode())


@dataclass
class Sshd:
    """One server; it can be stopped and started again on the same port."""

    directory: Path
    settings: dict[str, str] = field(default_factory=dict)
    """Lines of sshd_config that differ from the ones here."""
    host_key: Key = field(default_factory=Key.generate)
    client_key: Key = field(default_factory=Key.generate)
    port: int = field(default_factory=lambda: free_port())
    _process: subprocess.Popen[bytes] | None = None

    def connection(self, **changed: Any) -> dict[str, Any]:
        """A ``connection`` input that logs in as root; None leaves a field out."""
        fields = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "root",
            "privateKey": self.client_key.private,
            "hostKey": self.host_key.public,
            "dialErrorLimit": 10,
            "perDialTimeout": 15,
        }
        return {name: value for name, value in (fields | changed).items() if value is not None}

    def start(self) -> None:
        """Start it and wait until it listens."""
        configuration = self._configure()
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_SSHD, "-D", "-e", "-f", configuration], stdin=subprocess.DEVNULL, stderr=log
            )
        limit = time.monotonic() + START_LIMIT_S
        while not listens(self.port):
            if self._process.poll() is not None or time.monotonic() > limit:
                raise AssertionError(f"sshd does not listen on {self.port}:\n{self.log()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill it and every session it has."""
        if self._process is None:
            return
        for pid in [*_descendants(self._process.pid), self._process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(10)
        self._process = None

    def logins(self) -> int:
        """How often somebody has logged in."""
        return self.log().count("Accepted ")

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def _configure(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        _private(self.directory / "host_key", self.host_key.private)
        _private(self.directory / "authorized_keys", self.client_key.public + "\n")
        lines = {
            "Port": str(self.port),
            "ListenAddress": "127.0.0.1",
            "HostKey": str(self.directory / "host_key"),
            "AuthorizedKeysFile": str(self.directory / "authorized_keys"),
            "PidFile": "none",
            "UsePAM": "no",
            "StrictModes": "no",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "MaxStartups": "100",
            "Subsystem": "sftp internal-sftp",
            **self.settings,
        }
        path = self.directory / "sshd_config"
        path.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        return path


@contextlib.contextmanager
def private_sshd(directory: Path, **settings: str) -> Iterator[Sshd]:
    """A running server; ``settings`` are lines of sshd_config. Skips where there is no sshd or no root."""
    server = prepared_sshd(directory, **settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def prepared_sshd(directory: Path, **settings: str) -> Sshd:
    """A server that is not started yet. Skips where there is no sshd or no root."""
    if shutil.which(_SSHD) is None:
        pytest.skip(f"needs {_SSHD}: apt-get install openssh-server")
    if os.geteuid() != 0:
        pytest.skip("needs root: sshd separates its privileges")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    return Sshd(directory, settings)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
