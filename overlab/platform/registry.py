"""The lab's container registry: Debian's ``docker-registry`` inside the lab's network namespace, read-only."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from components.config.conventions import REGISTRY_PORT
from overlab.core.files import write_private
from overlab.core.process import end
from overlab.core.wait import NotYet
from overlab.platform.daemon import Daemon
from overlab.platform.namespace import Namespace

# Run inside the namespace: one request, its status on standard output.
_PROBE = (
    "import http.client, sys\n"
    "connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=5)\n"
    "connection.request('GET', '/v2/')\n"
    "print(connection.getresponse().status)\n"
)


@dataclass(frozen=True)
class Registry(Daemon):
    """Serves the storage directory ``images`` on port 5000 of every address in the lab's namespace.

    The storage is read-only, so labs share it.
    """

    images: Path
    NAME = "registry"
    PROGRAMS = ("docker-registry",)
    START_LIMIT_S = 30.0

    def ensure(self) -> None:
        """Adopt the running registry or start one; returns when it answers. The namespace must exist.

        One that serves another directory is replaced. Raises :class:`OverlabError` when it does not start.
        """
        if self.alive():
            return
        self.stop()
        self.paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._config, _config(self.images))
        command = self.namespace.command(["docker-registry", "serve", str(self._config)])
        self.start(command, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def alive(self) -> bool:
        """Whether it runs, serves this directory and answers."""
        return _serves(self._config, self.images) and super().alive()

    def probe(self) -> None:
        status = _status(self.namespace)
        if status != "200":
            raise NotYet(f"GET /v2/ on port {REGISTRY_PORT} of {self.namespace.name}: {status}")

    def digests(self) -> dict[str, str]:
        """Of the manifests that it serves, by ``repository:tag``."""
        repositories = self.images / "docker/registry/v2/repositories"
        found = {}
        for link in sorted(repositories.glob("**/_manifests/tags/*/current/link")):
            repository, _, tag = str(link.parents[1].relative_to(repositories)).partition("/_manifests/tags/")
            found[f"{repository}:{tag}"] = link.read_text()
        return found

    def stop(self) -> None:
        """End it, if it is provably the lab's own, and remove its files."""
        end(self.processes())
        self.pid_file.unlink(missing_ok=True)
        self._config.unlink(missing_ok=True)

    @property
    def _config(self) -> Path:
        return self.paths.run / "registry.yml"


def _config(storage: Path) -> bytes:
    """The registry's configuration; JSON is YAML."""
    config = {
        "version": 0.1,
        # Neither accesses nor what they ask for: no client must be able to fill the disk.
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": {"uploadpurging": {"enabled": False}, "readonly": {"enabled": True}},
        },
        "http": {"addr": f":{REGISTRY_PORT}", "secret": secrets.token_hex(16)},
    }
    return json.dumps(config, indent=1).encode()


def _serves(config: Path, storage: Path) -> bool:
    try:
        served = json.loads(config.read_bytes())["storage"]["filesystem"]["rootdirectory"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(served == str(storage))


def _status(namespace: Namespace) -> str:
    """HTTP status of ``/v2/`` inside the namespace, or what went wrong."""
    command = namespace.command([sys.executable, "-I", "-S", "-c", _PROBE, str(REGISTRY_PORT)])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout.strip() or (done.stderr.strip().splitlines() or ["no answer"])[-1]
