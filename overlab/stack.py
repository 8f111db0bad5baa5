"""Pulumi on one lab: its environment, its stack, its lock, and running the CLI in the foreground."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from components.config.platform import RECORD_ENV
from components.config.settings import PROJECT
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.process import ProcessRecord
from overlab.platform.manifest import PlatformManifest, checkout
from overlab.platform.plugins import choice

_SALT = re.compile(r"^encryptionsalt:.*(\n|\Z)", re.MULTILINE)
_SECRET = re.compile(r"\bsecure\s*:")

UNSET = ("PULUMI_CONFIG_PASSPHRASE",)
"""Variables that would win over the lab's own; they must not be set."""


@dataclass(frozen=True)
class Stack:
    """The stack ``name`` of a lab whose platform is prepared."""

    name: str
    paths: LabPaths
    prepared: PlatformManifest

    @property
    def file(self) -> Path:
        return checkout() / f"Pulumi.{self.name}.yaml"

    def variables(self) -> dict[str, str]:
        """What plain `pulumi` needs in its environment, beside PATH with the lab's ``bin`` in front."""
        variables = {
            "PULUMI_HOME": str(self.paths.pulumi_home),
            "PULUMI_BACKEND_URL": f"file://{self.paths.backend}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.paths.passphrase),
            "PULUMI_STACK": self.name,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # the stack's file in the project stays as it is in version control: the salt is then read from the state
            "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
            RECORD_ENV: str(self.paths.record),
        }
        if self.prepared.bundled_plugins:
            variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
        if choice() == "bundled":
            variables["PULUMI_IGNORE_AMBIENT_PLUGINS"] = "true"
        return variables

    def environment(self) -> dict[str, str]:
        """This process's environment with the lab's variables and PATH."""
        inherited = {key: value for key, value in os.environ.items() if key not in UNSET}
        return {**inherited, **self.variables(), "PATH": self.path_variable()}

    def path_variable(self) -> str:
        """PATH with the lab's ``bin`` in front, once."""
        directories = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").split(os.pathsep)
        return os.pathsep.join([str(self.paths.bin), *(one for one in directories if one != str(self.paths.bin))])

    def exists(self) -> bool:
        return (self.paths.backend / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json").exists()

    def ensure(self) -> int:
        """Make the stack in the lab's backend if it is not there; exit code of `pulumi stack init`, 0 if it is."""
        if self.exists():
            return 0
        self._drop_foreign_salt()
        return self.run(["stack", "init", self.name, "--non-interactive"], quiet=True)

    def replace_process(self, args: Sequence[str]) -> None:
        """Become `pulumi ARGS`; does not return."""
        os.chdir(checkout())
        os.execve(self._command, [str(self._command), *args], self.environment())

    @property
    def event_log(self) -> Path:
        """What the last update did, as Pulumi's engine events."""
        return self.paths.logs / f"{self.name}-events.json"

    @property
    def change_log(self) -> Path:
        """The event log of the last ``up`` that changed something."""
        return self.paths.logs / f"{self.name}-changes.json"

    def run(self, args: Sequence[str], *, quiet: bool = False, events: Path | None = None) -> int:
        """Run `pulumi ARGS` in the project, on this terminal; its exit code. An interrupt is the CLI's to handle.

        ``quiet`` shows its output only if it fails. ``events`` gets the engine's events, where the operation has any.
        """
        env = self.environment()
        if events is not None:
            events.parent.mkdir(parents=True, exist_ok=True)
            events.unlink(missing_ok=True)
            env["PULUMI_DEBUG_COMMANDS"] = "true"  # else the CLI does not know the flag
            args = [*args, "--event-log", str(events)]
        with self._unchanged_file(), _interrupts_left_to_child() as forward:
            if not quiet:
                process = subprocess.Popen([self._command, *args], cwd=checkout(), env=env)
                forward.append(process)
                return process.wait()
            done = subprocess.run([self._command, *args], cwd=checkout(), env=env, capture_output=True, check=False)
            if done.returncode != 0:
                os.write(2, done.stdout + done.stderr)
            return done.returncode

    @property
    def _command(self) -> Path:
        return self.paths.bin / "pulumi"

    @contextlib.contextmanager
    def _unchanged_file(self) -> Iterator[None]:
        """Undo Pulumi's one addition to the stack's file, the salt, unless the file had one or holds secrets by it."""
        before = _read(self.file)
        try:
            yield
        finally:
            after = _read(self.file)
            if before is not None and after is not None and before != after:
                old, new = _parse(before), _parse(after)
                if old is not None and new is not None and "encryptionsalt" not in old:
                    new.pop("encryptionsalt", None)
                    if new == old:
                        self.file.write_bytes(before)

    def _drop_foreign_salt(self) -> None:
        """A salt in the stack's file before the stack is made belongs to another passphrase than this lab's new one."""
        text = self.file.read_text() if self.file.exists() else ""
        if not _SALT.search(text):
            return
        if _SECRET.search(text):
            raise OverlabError(
                f"{self.file} holds secrets that were encrypted with another lab's passphrase",
                "remove them and the encryptionsalt line, then set them again: overlab pulumi -- config set --secret",
            )
        self.file.write_text(_SALT.sub("", text))

    # -- locks ---------------------------------------------------------------------------------

    def remove_stale_locks(self) -> list[Path]:
        """Remove the lock files of Pulumi processes that are provably dead, as `pulumi cancel` would; returns them.

        Dead is a pid of this host that does not run, or that started after the lock was written. Others are kept.
        """
        directory = self.paths.backend / ".pulumi" / "locks"
        removed = []
        for file in directory.rglob("*.json"):
            if self.name in file.parts and _holder_is_dead(file):
                file.unlink(missing_ok=True)
                removed.append(file)
        return removed


def _holder_is_dead(lock: Path) -> bool:
    try:
        content: dict[str, Any] = json.loads(lock.read_text())
        pid, host, since = int(content["pid"]), content["hostname"], datetime.fromisoformat(content["timestamp"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if host != socket.gethostname():
        return False
    process = ProcessRecord.of(pid)
    return process is None or process.started_at() > since.timestamp() + 1


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _parse(text: bytes) -> dict[str, Any] | None:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return value if isinstance(value, dict) else {} if value is None else None


@contextlib.contextmanager
def _interrupts_left_to_child() -> Iterator[list[subprocess.Popen[bytes]]]:
    """^C goes to the child alone (the terminal sends it); TERM is passed on as the interrupt that it means."""
    children: list[subprocess.Popen[bytes]] = []

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        pass

    def on_terminate(_number: int, _frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(signal.SIGINT)

    # a handler, not SIG_IGN: an ignored signal would stay ignored in the child
    previous = [signal.signal(signal.SIGINT, on_interrupt), signal.signal(signal.SIGTERM, on_terminate)]
    try:
        yield children
    finally:
        signal.signal(signal.SIGINT, previous[0])
        signal.signal(signal.SIGTERM, previous[1])
