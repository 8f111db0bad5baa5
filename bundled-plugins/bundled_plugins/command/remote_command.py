"""``command:remote:Command``: a command on another machine, over SSH."""

from __future__ import annotations

import contextlib
import select
import signal
import threading
from collections.abc import Iterator
from typing import Any, Final

import paramiko

from bundled_plugins.command import connection, sessions
from bundled_plugins.command.client import Running
from bundled_plugins.command.commands import Command, CommandInputs, Result, failure
from bundled_plugins.command.connection import Connection
from bundled_plugins.command.output import Capture, Display
from bundled_plugins.command.transport import exit_signal, request_env
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.values import Properties

_CHUNK: Final = 256 * 1024
_POLL_S: Final = 0.2

_REFUSED: Final = (
    "Unable to set '{}'. This only works if your SSH server is configured to accept these variables via AcceptEnv. "
    "Alternatively, if a Bash-like shell runs on the remote host, you could prefix the command itself with the "
    "variables in the form 'VAR=value command'"
)


class RemoteCommandInputs(CommandInputs):
    """Inputs of ``command:remote:Command``."""

    connection: Connection


class RemoteCommand(Command):
    """A command in the user's login shell, without a terminal."""

    token = "command:remote:Command"
    model = RemoteCommandInputs

    def complete(self, inputs: Properties) -> Properties:
        return inputs | {"connection": connection.with_defaults(inputs["connection"])}

    def run(self, run: Running, inputs: Any, command: str, previous: dict[str, str]) -> Result:
        display = Display(run.op.log, run.mask, inputs.logging)
        capture = Capture(display)
        try:
            with _prepared(run, inputs, previous) as channel:
                failed = _executed(run, channel, command, inputs.stdin or "", capture)
        except ProviderError as error:
            raise type(error)(failure(run, str(error), command, capture)) from None
        finally:
            display.close()
        if failed:
            raise ProviderError(failure(run, failed, command, capture))
        return Result(capture.stdout, capture.stderr)


@contextlib.contextmanager
def _prepared(run: Running, inputs: RemoteCommandInputs, previous: dict[str, str]) -> Iterator[paramiko.Channel]:
    """A channel with its environment set. A refused variable of the previous output is left out with a warning."""
    while True:
        with sessions.channel(run, inputs.connection) as channel:
            refused = _set_environment(run, channel, inputs.environment or {}, previous)
            if refused is None:
                yield channel
                return
        # The refusal closed the channel; the connection is fine.
        previous = {name: value for name, value in previous.items() if name != refused}


def _set_environment(
    run: Running, channel: paramiko.Channel, environment: dict[str, str], previous: dict[str, str]
) -> str | None:
    """Set the variables; the name of a variable of the previous output that was refused, None if all is set."""
    with run.stop.closing(channel.close):
        for name, value in {**environment, **previous}.items():
            try:
                request_env(channel, name, value)
            except sessions.BROKEN as error:
                run.stop.check()
                if not sessions.is_alive(channel):
                    raise ProviderError(
                        f"{sessions.reason(error)} (the SSH connection broke before the command was sent)"
                    ) from error
                if name in environment:
                    run.log("error", _REFUSED.format(name))
                    raise ProviderError(f'could not set environment variable "{name}": ssh: setenv failed') from error
                run.log("warning", _REFUSED.format(name))
                return name
    return None


def _executed(run: Running, channel: paramiko.Channel, command: str, stdin: str, capture: Capture) -> str:
    """How the command failed; empty when it succeeded."""
    try:
        with run.stop.closing(channel.close):
            channel.exec_command(command)
    except sessions.BROKEN as error:
        run.stop.check()
        if sessions.is_alive(channel):
            return "ssh: command failed: the server refused to run it"
        return f"{sessions.reason(error)} (the SSH connection broke; the command may have started)"
    writer = threading.Thread(target=_write, args=(channel, stdin.encode()), name="stdin", daemon=True)
    writer.start()
    _collect(run, channel, capture)
    return _exit_failure(channel)


def _write(channel: paramiko.Channel, data: bytes) -> None:
    with contextlib.suppress(*sessions.BROKEN):  # the command does not read it
        for start in range(0, len(data), _CHUNK):  # paramiko copies the whole rest for every packet
            channel.sendall(data[start : start + _CHUNK])
        channel.shutdown_write()


def _collect(run: Running, channel: paramiko.Channel, capture: Capture) -> None:
    """Both streams to their end, then the exit status."""
    readable = select.poll()
    readable.register(channel.fileno(), select.POLLIN)
    while True:
        run.stop.check()
        ended = channel.eof_received or channel.closed
        stderr = channel.recv_stderr(_CHUNK) if channel.recv_stderr_ready() else b""
        stdout = channel.recv(_CHUNK) if channel.recv_ready() else b""
        if stdout:
            capture.feed("stdout", stdout)
        if stderr:
            capture.feed("stderr", stderr)
        if not stdout and not stderr:
            if ended:
                break
            readable.poll(_POLL_S * 1000)
    while not channel.status_event.wait(_POLL_S):
        run.stop.check()


def _exit_failure(channel: paramiko.Channel) -> str:
    name = exit_signal(channel)
    if name is not None:
        number = int(getattr(signal, f"SIG{name}", 0))
        return f"Process exited with status {128 + number} from signal {name}"
    status = channel.exit_status
    if status == 0:
        return ""
    if status > 0:
        return f"Process exited with status {status}"
    if not sessions.is_alive(channel):
        return "EOF (the SSH connection broke while the command ran; the command may still run)"
    return "wait: remote command exited without exit status or exit signal"
