"""The lab's container registry: Debian's ``docker-registry`` inside the lab's network namespace, read-only."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.config.conventions import REGISTRY_PORT
from overlab.core.errors import OverlabError
from overlab.core.process import ProcessRecord, end, spawn, write_private
from overlab.core.tools import tail
from overlab.core.wait import NotYet, until
from overlab.platform.namespace import Namespace

if TYPE_CHECKING:
    from overlab.core.paths import LabPaths

_START_LIMIT_S = 30.0
# Run inside the namespace: one request, its status on standard output.
_PROBE = (
    "import http.client, sys\n"
    "connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=5)\n"
    "connection.request('GET', '/v2/')\n"
    "print(connection.getresponse().status)\n"
)


@dataclass(frozen=True)
class Registry:
    """Serves the storage directory ``images`` on port 5000 of every address in the lab's namespace.

    The storage is read-only, so labs share it. All methods may be repeated after a crash at any point.
    """

    paths: LabPaths
    images: Path

    @property
    def log(self) -> Path:
        return self.paths.logs / "registry.log"

    def ensure(self) -> None:
        """Adopt the running registry or start one; returns when it answers. The namespace must exist.

        One that serves another directory is replaced. Raises :class:`OverlabError` when it does not start.
        """
        if self.alive():
            return
        self.stop()
        self.paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._config, _config(self.images))
        command = ["docker-registry", "serve", str(self._config)]
        process = _spawn(self._namespace.command(command), self.log)
        process.save(self._pid_file)
        until("the registry to answer", lambda: self._answered(process), _START_LIMIT_S)

    def alive(self) -> bool:
        """Whether our registry runs, serves this directory and answers."""
        process = ProcessRecord.load(self._pid_file)
        if process is None or not process.alive() or not self._config.exists():
            return False
        if not _serves(self._config, self.images):
            return False
        return _status(self._namespace) == "200"

    def stop(self) -> None:
        """End it, if it is provably ours, and remove its files."""
        process = ProcessRecord.load(self._pid_file)
        strays = self._namespace.processes() if self._namespace.ours() else []
        end([one for one in strays if one.name() == "docker-registry" or one == process])
        if process is not None:
            end([process])
        self._pid_file.unlink(missing_ok=True)
        self._config.unlink(missing_ok=True)

    # -- steps ---------------------------------------------------------------------------------

    @property
    def _namespace(self) -> Namespace:
        return Namespace.of(self.paths)

    @property
    def _config(self) -> Path:
        return self.paths.run / "registry.yml"

    @property
    def _pid_file(self) -> Path:
        return self.paths.run / "registry.json"

    def _answered(self, process: ProcessRecord) -> None:
        _require_alive(process, self.log)
        status = _status(self._namespace)
        if status != "200":
            raise NotYet(f"GET /v2/ on port {REGISTRY_PORT} of {self._namespace.name}: {status}")


def _config(storage: Path) -> bytes:
    """The registry's configuration; JSON is YAML."""
    config = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": False}},
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


def _spawn(command: list[str], log: Path) -> ProcessRecord:
    return spawn(command, log, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def _require_alive(process: ProcessRecord, log: Path) -> None:
    if not process.alive():
        raise OverlabError(
            f"docker-registry exited at start; its last lines:\n{tail(log, lines=5)}",
            f"read {log}; `overlab doctor` lists what is missing",
        )


def _status(namespace: Namespace) -> str:
    """HTTP status of ``/v2/`` inside the namespace, or what went wrong."""
    command = namespace.command([sys.executable, "-I", "-S", "-c", _PROBE, str(REGISTRY_PORT)])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout.strip() or (done.stderr.strip().splitlines() or ["no answer"])[-1]
