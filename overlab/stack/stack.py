"""Pulumi on one lab: its environment, its stack, its locks, and running the CLI in the foreground."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from components.config.platform import RECORD_ENV
from components.config.settings import PROJECT
from overlab.core import environment
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.process import ProcessRecord
from overlab.platform.manifest import PlatformManifest, checkout
from overlab.platform.plugins import choice
from overlab.stack import event_log, foreground
from overlab.stack.foreground import Ended

_SALT = re.compile(r"^encryptionsalt:", re.MULTILINE)
_SECRET = re.compile(r"\bsecure\s*:")

_UNLOCK = "wait for its end, or end it with `kill -INT`; if its host is gone: overlab pulumi -- cancel --yes"

UNSET = ("PULUMI_CONFIG_PASSPHRASE",)
"""Variables that would take precedence over the lab's own."""


@dataclass(frozen=True)
class Stack:
    """The stack ``name`` of a lab whose platform is prepared."""

    name: str
    paths: LabPaths
    manifest: PlatformManifest

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
            # the stack file holds no salt (see shim.py): it is read from the state
            "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
            RECORD_ENV: str(self.paths.record),
            # of which there is none: the user's has proxies, contexts and credentials
            "DOCKER_CONFIG": str(self.paths.state / "docker-config"),
        }
        if self.manifest.bundled_plugins:
            variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
        if choice() == "bundled":
            variables["PULUMI_IGNORE_AMBIENT_PLUGINS"] = "true"
        return variables

    def environment(self) -> dict[str, str]:
        """This process's environment with the lab's variables and PATH; `shim.py` drops what must not pass.

        The CLI fetches official plugins itself, so it gets the caller's proxies where they are not bundled.
        """
        base = dict(os.environ) if self.manifest.bundled_plugins else environment.for_downloads()
        inherited = {key: value for key, value in base.items() if key not in UNSET}
        return {**inherited, **self.variables(), "PATH": self.path_variable()}

    def path_variable(self) -> str:
        """PATH with the lab's ``bin`` in front, once."""
        directories = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").split(os.pathsep)
        return os.pathsep.join([str(self.paths.bin), *(one for one in directories if one != str(self.paths.bin))])

    @property
    def state_file(self) -> Path:
        return self.paths.backend / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json"

    def exists(self) -> bool:
        return self.state_file.exists()

    def is_empty(self) -> bool:
        """Whether it has no resource, and no operation on one was interrupted. An unreadable state counts as not."""
        try:
            latest = json.loads(self.state_file.read_text("utf-8"))["checkpoint"]["latest"] or {}
            return not latest.get("resources") and not latest.get("pending_operations")
        except FileNotFoundError:
            return True
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return False

    def ensure(self) -> int:
        """Create the stack in the lab's backend if it does not exist; exit code of `pulumi stack init`, or 0.

        `stack init` writes the salt into the project's stack file, so it runs in a temporary project directory.
        """
        if self.exists():
            return 0
        self._refuse_foreign_secrets()
        with tempfile.TemporaryDirectory(prefix="overlab-init-") as project:
            shutil.copy(checkout() / "Pulumi.yaml", project)
            words = ["stack", "init", self.name, "--no-select", "--non-interactive", f"--cwd={project}"]
            done = subprocess.run(
                [self._command, *words], cwd=project, env=self.environment(), capture_output=True, check=False
            )
        if done.returncode != 0:
            os.write(2, done.stdout + done.stderr)
        return done.returncode

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

    def run(
        self, args: Sequence[str], *, events: Path | None = None, say: Callable[[str], None] = lambda _: None
    ) -> Ended:
        """Run `pulumi ARGS` in the project, on this terminal. The CLI handles an interrupt itself, within limits.

        ``events`` gets the engine's events, where the operation has any; ``say`` what an interrupt waits for.
        """
        env = self.environment()
        if events is not None:
            events.parent.mkdir(parents=True, exist_ok=True)
            events.unlink(missing_ok=True)
            env["PULUMI_DEBUG_COMMANDS"] = "true"  # else the CLI does not know the flag
            args = [*args, "--event-log", str(events)]
        running = (lambda: event_log.running(event_log.read(events))) if events is not None else list
        return foreground.run([self._command, *args], cwd=checkout(), env=env, running=running, say=say)

    @property
    def _command(self) -> Path:
        return self.paths.bin / "pulumi"

    def _refuse_foreign_secrets(self) -> None:
        """Secrets in the stack file before the stack exists were encrypted with another passphrase than this lab's."""
        text = self.file.read_text() if self.file.exists() else ""
        if _SALT.search(text) and _SECRET.search(text):
            raise OverlabError(
                f"{self.file} holds secrets that were encrypted with another lab's passphrase",
                "remove them and the encryptionsalt line, then set them again: overlab pulumi -- config set --secret",
            )

    # -- locks ---------------------------------------------------------------------------------

    def remove_stale_locks(self) -> list[Path]:
        """Remove the lock files of Pulumi processes that have ended, as `pulumi cancel` would; returns them.

        Ended: a pid of this host that does not exist, or whose process is newer than the lock. Others are kept.
        """
        directory = self.paths.backend / ".pulumi" / "locks"
        removed = []
        for file in directory.rglob("*.json"):
            if self.name in file.parts and _holder_is_dead(file):
                file.unlink(missing_ok=True)
                removed.append(file)
        return removed

    def refuse_locked(self) -> None:
        """Raise :class:`OverlabError` where a Pulumi process, which may be on another host, has the stack locked."""
        for file in (self.paths.backend / ".pulumi" / "locks").rglob("*.json"):
            if self.name in file.parts:
                raise OverlabError(f"a pulumi process has the stack {self.name} locked: {_holder(file)}", _UNLOCK)


def _holder(lock: Path) -> str:
    try:
        content: dict[str, Any] = json.loads(lock.read_text())
        return f"process {content['pid']} of {content['username']}@{content['hostname']}, since {content['timestamp']}"
    except (OSError, ValueError, KeyError, TypeError):
        return str(lock)


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
