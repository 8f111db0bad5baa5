"""HTTP to a Docker daemon through ``ssh HOST docker system dial-stdio``.

One child process a connection, as Docker's own command line does it. Connections are kept and reused, and at most
``MAX_CONNECTIONS`` exist at a time: further requests queue instead of storming a slow sshd.
"""

from __future__ import annotations

import http.client
import shlex
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Final
from urllib.parse import urlsplit

import urllib3.connectionpool
from docker.transport.sshconn import SSHConnection, SSHConnectionPool, SSHHTTPAdapter

from bundled_plugins.docker.transport import Breakable
from bundled_plugins.runtime.errors import ProviderError

MAX_CONNECTIONS: Final = 4
CONNECT_LIMIT_S: Final = 30
_END_LIMIT_S: Final = 5
_STDERR_SHOWN: Final = 4000


class RemoteCommandEnded(ConnectionError):
    """The ssh child ended; the text holds its command line, exit status and stderr."""


@dataclass(frozen=True)
class Destination:
    """Where an ``ssh://[USER@]HOST[:PORT][/SOCKET]`` URL leads."""

    host: str
    user: str | None = None
    port: int | None = None
    socket_path: str = ""

    @classmethod
    def parse(cls, url: str) -> Destination:
        """The destination of a URL; raises ProviderError when it is none."""
        parts = urlsplit(url)
        refusal = None
        try:
            port = parts.port
        except ValueError as error:
            raise ProviderError(f'host "{url}": {error}; give ssh://[USER@]HOST[:PORT]') from None
        if not parts.hostname:
            refusal = "no host specified"
        elif parts.password is not None:
            refusal = "plain-text password is not supported"
        elif parts.query:
            refusal = f'extra query after the host: "{parts.query}"'
        elif parts.fragment:
            refusal = f'extra fragment after the host: "{parts.fragment}"'
        if refusal or not parts.hostname:
            raise ProviderError(f'host "{url}": {refusal}; give ssh://[USER@]HOST[:PORT]')
        path = "" if parts.path == "/" else parts.path
        return cls(parts.hostname, parts.username, port, path)

    def argv(self, ssh_options: tuple[str, ...]) -> list[str]:
        """The command line of one connection. Each option is one argument; ssh never prompts."""
        argv = ["ssh"]
        argv += ["-l", self.user] if self.user else []
        argv += ["-p", str(self.port)] if self.port else []
        argv += ssh_options
        if not any("ConnectTimeout" in option for option in ssh_options):
            argv.append(f"-o ConnectTimeout={CONNECT_LIMIT_S}")
        if "-T" not in ssh_options:
            argv.append("-T")
        dial = f"docker --host=unix://{shlex.quote(self.socket_path)}" if self.socket_path else "docker"
        return [*argv, "--", self.host, f"{dial} system dial-stdio"]


class _Connection(SSHConnection):
    """An HTTP connection whose socket is the stdin and stdout of an ssh child."""

    def __init__(self, argv: list[str], timeout: int) -> None:
        super().__init__(timeout=timeout)
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._answering = False

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the connection
        try:
            # A new session: no terminal to prompt on, and no SIGINT meant for the plugin.
            self._process = subprocess.Popen(
                self._argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._stderr, start_new_session=True
            )
        except OSError as error:
            ours.close()
            raise RemoteCommandEnded(f"cannot run {self._argv[0]}: {error}; install the OpenSSH client") from error
        finally:
            theirs.close()
        ours.settimeout(self.timeout)
        self.sock = ours  # type: ignore[assignment]  # a real socket in place of Docker's imitation

    def getresponse(self) -> Any:
        self._answering = True
        try:
            return super().getresponse()
        except (ConnectionError, http.client.HTTPException) as error:
            raise self._explain_end(error) from error
        finally:
            self._answering = False

    def close(self) -> None:
        super().close()
        # While an answer fails, http.client closes first; the child's stderr is still needed then.
        if not self._answering:
            self._reap()

    def kill(self) -> None:
        """End the child, from any thread; a request that waits for its answer fails."""
        process = self._process
        if process is not None:
            process.terminate()

    def _reap(self) -> None:
        self.kill()
        process, self._process = self._process, None
        if process is not None:
            try:
                process.wait(_END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        stderr, self._stderr = self._stderr, None
        if stderr is not None:
            stderr.close()

    def _explain_end(self, error: Exception) -> Exception:
        """The exit of the ssh child as the reason, if that is what broke the connection."""
        process, stderr = self._process, self._stderr
        if process is None or stderr is None:
            return error
        try:
            status = process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            return error
        stderr.seek(0)
        errors = stderr.read().decode(errors="replace").strip()
        outcome = f"exit status {status}" if status >= 0 else f"signal {-status}"
        return RemoteCommandEnded(
            f"command [{' '.join(self._argv)}] has exited with {outcome}, make sure the URL is valid, "
            f"and Docker 18.09 or later is installed on the remote host: stderr={errors[-_STDERR_SHOWN:]}"
        )


class _SSHPool(SSHConnectionPool):
    """Docker's pool with our connections, and with urllib3's test for dropped ones, which a real socket allows."""

    def __init__(self, argv: list[str], timeout: int) -> None:
        super().__init__(timeout=timeout, maxsize=MAX_CONNECTIONS, host="")
        self._argv, self._timeout = argv, timeout

    def _new_conn(self) -> Any:
        return _Connection(self._argv, self._timeout)

    def _get_conn(self, timeout: float | None = None) -> Any:
        return urllib3.connectionpool.HTTPConnectionPool._get_conn(self, timeout)


class _Pool(Breakable, _SSHPool):
    """At most ``MAX_CONNECTIONS`` connections; callers wait for a free one."""

    def __init__(self, argv: list[str], timeout: int) -> None:
        super().__init__(argv, timeout)
        self.block = True

    def break_off(self, connection: _Connection) -> None:
        connection.kill()


class SSHAdapter(SSHHTTPAdapter):
    """Requests' transport over one pool of ssh connections to one destination."""

    def __init__(self, destination: Destination, ssh_options: tuple[str, ...], timeout: int) -> None:
        super().__init__(f"ssh://{destination.host}", timeout, max_pool_size=MAX_CONNECTIONS, shell_out=True)
        self._pool = _Pool(destination.argv(ssh_options), timeout)

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        return self._pool

    def abandon(self) -> None:
        self._pool.abandon()

    def close(self) -> None:
        super().close()
        self._pool.close()
