"""A Docker daemon in a private network namespace, and a registry beside it, for tests.

Nothing of the machine's own Docker is touched: namespace, containerd, sockets, state and cgroup are private, and
all of them are gone when the context ends.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import io
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from conformance.harness import until

IMAGE = "busybox:1.35"
TLS_PORT = 2376
REGISTRY_PORT = 5000
START_LIMIT_S = 60
_APPLETS = "cat echo env false hostname httpd id ip ls nc nslookup ping sh sleep stat test touch true wget".split()
_NEEDS = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "docker": "docker.io",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "nsenter": "util-linux",
}


@dataclass
class PrivateDocker:
    """One daemon. ``namespace`` is its network namespace; inside it TLS_PORT of loopback serves TLS."""

    directory: Path
    namespace: str
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def socket_path(self) -> Path:
        return self.directory / "docker.sock"

    @property
    def host(self) -> str:
        """``unix://`` URL, usable from every network namespace."""
        return f"unix://{self.socket_path}"

    @property
    def tls(self) -> Path:
        """Directory with ``ca.pem``, ``cert.pem`` and ``key.pem`` of a client."""
        return self.directory / "tls"

    @property
    def inside(self) -> tuple[str, ...]:
        """Command prefix that enters the daemon's network namespace."""
        return ("nsenter", f"--net=/run/netns/{self.namespace}")

    def cli(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run Docker's command line against the daemon; its stdout, stripped."""
        done = subprocess.run(["docker", "-H", self.host, *arguments], input=stdin, capture_output=True, timeout=120)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode(errors="replace").strip()

    @functools.cached_property
    def api(self) -> docker.APIClient:
        """A client of the test's own, to look behind the plugin's back."""
        return docker.APIClient(self.host, version="1.41", timeout=60)

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.inspect_container(container)
        return found

    def image_id(self, name: str) -> str:
        return self.cli("image", "inspect", "--format", "{{.Id}}", name)

    def names(self) -> set[str]:
        """Names of all containers, running or not."""
        return {name.lstrip("/") for entry in self.api.containers(all=True) for name in entry["Names"]}

    def wait_until_ended(self, container: str, limit_s: float = 20) -> None:
        until(lambda: not self.inspect(container)["State"]["Running"], limit_s, lambda: f"{container} still runs")

    def wait_for_file(self, container: str, path: str, limit_s: float = 20) -> None:
        """Until the container's own process has made a file."""
        probe = ["docker", "-H", self.host, "exec", container, "test", "-e", path]
        until(
            lambda: subprocess.run(probe, capture_output=True, timeout=60).returncode == 0,
            limit_s,
            lambda: f"{container} has no {path}",
        )

    def clear(self) -> None:
        """Remove all containers, user-made networks and volumes; images stay."""
        for entry in self.api.containers(all=True):
            self.api.remove_container(entry["Id"], force=True, v=True)
        for network in self.api.networks():
            if network["Name"] not in ("bridge", "host", "none"):
                self.api.remove_network(network["Id"])
        for volume in self.api.volumes()["Volumes"] or []:
            self.api.remove_volume(volume["Name"], force=True)

    # life

    def start(self) -> None:
        """Start containerd and dockerd and wait until the daemon answers."""
        self._spawn("containerd", "--config", str(self.directory / "containerd.toml"))
        until((self.directory / "containerd.sock").exists, START_LIMIT_S, self._log("containerd"))
        self.start_daemon()

    def start_daemon(self) -> None:
        """Start dockerd alone; its containers, images and networks are those of before."""
        self._spawn(
            "dockerd",
            *("--config-file", str(self.directory / "daemon.json")),
            *("--containerd", str(self.directory / "containerd.sock")),
            *("--data-root", str(self.directory / "data"), "--exec-root", str(self.directory / "exec")),
            *("--pidfile", str(self.directory / "dockerd.pid"), "--cgroup-parent", f"/{self.namespace}"),
            *("--storage-driver", "vfs", "--iptables=false"),
            *("-H", self.host, "-H", f"tcp://127.0.0.1:{TLS_PORT}", "--tlsverify"),
            *("--tlscacert", str(self.tls / "ca.pem")),
            *("--tlscert", str(self.tls / "server-cert.pem"), "--tlskey", str(self.tls / "server-key.pem")),
        )
        until(self._answers, START_LIMIT_S, self._log("dockerd"))

    def stop_daemon(self) -> None:
        """Stop dockerd alone."""
        self._end("dockerd")

    def start_registry(self) -> str:
        """Start a registry on the namespace's loopback; its ``host:port``, which the daemon trusts."""
        config = self.directory / "registry.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: 127.0.0.1:{REGISTRY_PORT}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.directory / 'registry'}}}}}\n"
        )
        self._spawn("docker-registry", "serve", str(config))
        probe = [*self.inside, "busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:{REGISTRY_PORT}/v2/"]
        until(
            lambda: subprocess.run(probe, capture_output=True).returncode == 0,
            START_LIMIT_S,
            self._log("docker-registry"),
        )
        return f"127.0.0.1:{REGISTRY_PORT}"

    @contextmanager
    def forwarded(self, port: int) -> Iterator[int]:
        """A port of this machine's loopback that leads to one of the namespace's loopback."""
        children: list[subprocess.Popen[bytes]] = []
        command = [*self.inside, "busybox", "nc", "127.0.0.1", str(port)]

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return  # closed: the context has ended
                with connection:
                    descriptor = connection.fileno()
                    children.append(subprocess.Popen(command, stdin=descriptor, stdout=descriptor))

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            try:
                yield int(listener.getsockname()[1])
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join(5)
                for child in children:
                    child.kill()
                    child.wait(5)

    def stop_registry(self) -> None:
        self._end("docker-registry")

    def stop(self) -> None:
        """Stop everything, wait for it, and remove every trace."""
        with contextlib.suppress(Exception):
            self.clear()
        self.api.close()
        for name in reversed(list(self._processes)):
            self._end(name)
        for pid in _processes_mentioning(str(self.directory)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(
            lambda: not _processes_mentioning(str(self.directory)),
            10,
            lambda: f"left over: {_processes_mentioning(str(self.directory))}",
        )
        subprocess.run(["ip", "netns", "del", self.namespace], check=False)
        for group in Path("/sys/fs/cgroup").glob(f"*/{self.namespace}"):
            with contextlib.suppress(OSError):
                group.rmdir()
        shutil.rmtree(self.directory)

    def _spawn(self, name: str, *arguments: str) -> None:
        # A private mount namespace: the daemon's mounts are gone with it. `ip netns exec` would hide the cgroups.
        command = [*self.inside, "unshare", "-m", "--propagation", "private", name, *arguments]
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _end(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def _answers(self) -> bool:
        process = self._processes["dockerd"]
        assert process.poll() is None, f"dockerd ended: {self._log('dockerd')()}"
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.socket_path)) != 0:
                return False
        return bool(self.api.ping())

    def _log(self, name: str) -> Callable[[], str]:
        return lambda: (self.directory / f"{name}.log").read_text(errors="replace")[-3000:]


@contextmanager
def private_docker() -> Iterator[PrivateDocker]:
    """A started daemon that has IMAGE. Skips, with the reason, where it cannot be had."""
    _skip_unless_possible()
    directory = Path(tempfile.mkdtemp(prefix="t-docker-", dir="/tmp"))
    daemon = PrivateDocker(directory, f"t-docker-{os.getpid()}")
    try:
        _prepare(daemon)
        daemon.start()
        daemon.cli("import", "--change", 'CMD ["sh"]', "-", IMAGE, stdin=busybox_rootfs())
        yield daemon
    finally:
        daemon.stop()


def busybox_rootfs() -> bytes:
    """A tar with busybox and the links that tests need."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("bin", "etc", "tmp", "root", "var"):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(member)
        archive.add(shutil.which("busybox") or "/bin/busybox", "bin/busybox")
        for applet in _APPLETS:
            member = tarfile.TarInfo(f"bin/{applet}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(member)
        users = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
        member = tarfile.TarInfo("etc/passwd")
        member.size = len(users)
        archive.addfile(member, io.BytesIO(users))
    return buffer.getvalue()


def _skip_unless_possible() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: a network namespace and a Docker daemon are made")
    missing = sorted({package for command, package in _NEEDS.items() if shutil.which(command) is None})
    if missing:
        pytest.skip(f"needs the packages {' '.join(missing)}")
    if not any(Path("/sys/fs/cgroup").iterdir()):
        pytest.skip("needs cgroups below /sys/fs/cgroup")


def _prepare(daemon: PrivateDocker) -> None:
    for arguments in (["netns", "add", daemon.namespace], ["-n", daemon.namespace, "link", "set", "lo", "up"]):
        command = ["ip", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"needs network namespaces: {' '.join(command)}: {done.stderr.strip()}")
    (daemon.directory / "daemon.json").write_text("{}")
    (daemon.directory / "containerd.toml").write_text(
        f'version = 2\nroot = "{daemon.directory}/containerd"\nstate = "{daemon.directory}/containerd-state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{daemon.directory}/containerd.sock"\n'
    )
    daemon.tls.mkdir()
    write_certificates(daemon.tls)


def write_certificates(directory: Path) -> None:
    """An authority, a server certificate for loopback and a client certificate."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("t-docker authority", authority_key, authority_key, None, ca=True)
    _write(directory, "ca.pem", authority)
    for name, prefix, usage in (
        ("server", "server-", ExtendedKeyUsageOID.SERVER_AUTH),
        ("client", "", ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(directory, f"{prefix}cert.pem", _certificate(name, key, authority_key, authority, usage=usage))
        (directory / f"{prefix}key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    *,
    ca: bool = False,
    usage: x509.ObjectIdentifier | None = None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if usage is not None:
        loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        builder = builder.add_extension(loopback, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _write(directory: Path, name: str, certificate: x509.Certificate) -> None:
    (directory / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _processes_mentioning(text: str) -> list[int]:
    """Processes whose command line holds the text, but not this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if text.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found
