"""Real Consul agents on loopback addresses of a private network namespace, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from overlab.core.paths import cache_root

START_LIMIT_S = 60
NO_CONSUL = "NO CONSUL HERE: neither on PATH nor in the image that `make up` makes"


def binary(directory: Path) -> Path | None:
    """The machine's own, or the one of the lab's image: Debian 11's 1.8, whose configuration keys are the lab's."""
    for layer in sorted(cache_root().glob("images/*/content/docker/registry/v2/blobs/sha256/*/*/data")):
        # A manifest is no archive.
        with contextlib.suppress(tarfile.TarError), tarfile.open(layer) as archive:
            if "usr/bin/consul" in archive.getnames():
                archive.extract("usr/bin/consul", directory, filter="data")
                return directory / "usr" / "bin" / "consul"
    found = shutil.which("consul")
    return Path(found) if found else None


@dataclass
class Agents:
    """Agents by name; each at an address of loopback, where its HTTP API is too."""

    program: Path
    directory: Path
    namespace: str
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, config: dict[str, Any]) -> None:
        """Start an agent with this configuration; its data is kept from run to run."""
        file = self._write(name, config)
        with self.log(name).open("ab") as log:
            command = [*self._inside, str(self.program), "agent", f"-config-file={file}"]
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def _write(self, name: str, config: dict[str, Any]) -> Path:
        file = self.directory / f"{name}.json"
        file.write_text(
            json.dumps(config | {"data_dir": str(self.directory / name), "client_addr": config["bind_addr"]})
        )
        return file

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def call(self, address: str, path: str, *options: str, body: str | None = None) -> tuple[int, str]:
        """HTTP code and answer of an agent."""
        words = ["curl", "-s", "-m", "10", "-w", "\n%{http_code}", *options]
        words += ["-X", "PUT", "-d", body] if body is not None else []
        done = self.run([*words, f"http://{address}:8500{path}"])
        text, _, code = done.stdout.rpartition("\n")
        return int(code), text

    def run(self, command: list[str], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """A command in the agents' network."""
        full = [*self._inside, *command]
        return subprocess.run(full, input=stdin, capture_output=True, text=True, timeout=120, check=False)

    def until(self, address: str, path: str, code: int, body: str | None = None) -> str:
        """Ask again until the answer has this code."""
        end = time.monotonic() + START_LIMIT_S
        while (found := self.call(address, path, body=body))[0] != code:
            assert time.monotonic() < end, f"{path} at {address} is not {code} in {START_LIMIT_S} s; last: {found}"
            time.sleep(0.5)
        return found[1]

    def reload(self, name: str, config: dict[str, Any]) -> None:
        """Let a running agent read another configuration."""
        self._write(name, config)
        self._processes[name].send_signal(signal.SIGHUP)

    def stop_only(self, name: str) -> None:
        """Stop one, which then leaves the cluster for good."""
        self._processes[name].terminate()
        self._processes[name].wait(20)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(10)
        self._processes.clear()

    @property
    def _inside(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{self.namespace}")


@contextmanager
def network(directory: Path) -> Iterator[Agents]:
    """A network namespace for agents; skips where there can be none. Everything is removed at the end."""
    if os.geteuid() != 0:
        pytest.skip("not root: needs a network namespace")
    program = binary(directory)
    if program is None:
        pytest.skip(NO_CONSUL)
    agents = Agents(program, directory, f"overlab-{directory.name}-{os.getpid()}")
    subprocess.run(["ip", "netns", "add", agents.namespace], check=True)
    try:
        subprocess.run(["ip", "-n", agents.namespace, "link", "set", "lo", "up"], check=True)
        yield agents
    finally:
        agents.stop()
        subprocess.run(["ip", "netns", "del", agents.namespace], check=True)
