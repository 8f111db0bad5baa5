"""One Docker daemon: reached on first use, then shared by all operations of the plugin process."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import docker
import requests
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import APIError, create_api_error_from_http_exception
from docker.utils import version_lt

from bundled_plugins.docker.errors import Unreachable, text
from bundled_plugins.docker.ssh_transport import Destination, RemoteCommandEnded, SSHAdapter
from bundled_plugins.docker.transport import TcpAdapter, TlsMaterial, UnixAdapter
from bundled_plugins.runtime.errors import Cancelled, ProviderError
from bundled_plugins.runtime.resource import Operation

DEFAULT_LIMIT_S: Final = 20 * 60
"""Time that an operation has where the program states none."""
PING_LIMIT_S: Final = 120

_running: contextvars.ContextVar[Operation | None] = contextvars.ContextVar("running", default=None)


@dataclass(frozen=True)
class Target:
    """Which daemon, and how to reach it."""

    host: str
    """``unix://PATH``, ``tcp://HOST:PORT`` or ``ssh://[USER@]HOST[:PORT]``."""
    ssh_options: tuple[str, ...] = ()
    tls: TlsMaterial | None = None
    ping: bool = True
    """Test the daemon before the first operation."""

    @property
    def is_ssh(self) -> bool:
        return self.host.startswith("ssh://")


class Api(docker.APIClient):
    """Docker's client, every request of which respects the running operation's time limit and cancellation."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._adapter: SSHAdapter | UnixAdapter | TcpAdapter
        self._answered = False
        settings: dict[str, Any] = {"version": DEFAULT_DOCKER_API_VERSION, "timeout": DEFAULT_LIMIT_S}
        if target.is_ssh:
            super().__init__("ssh://daemon", use_ssh_client=True, **settings)
            self._adapter = SSHAdapter(Destination.parse(target.host), target.ssh_options, DEFAULT_LIMIT_S)
            self.mount("http+docker://ssh", self._adapter)
        elif target.host.startswith("unix://"):
            super().__init__(target.host, **settings)
            self._adapter = UnixAdapter(target.host, DEFAULT_LIMIT_S)
            self.mount("http+docker://", self._adapter)
        else:
            super().__init__(_base_url(target), **settings)
            self._adapter = TcpAdapter(target.tls)
            self.mount("http://", self._adapter)
            self.mount("https://", self._adapter)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            return self._requested(str(method), str(url), *args, **kwargs)
        except Unreachable:
            # A kept connection may have broken with the daemon's last restart; a read can be repeated.
            if not self._answered or str(method).upper() not in ("GET", "HEAD"):
                raise
            self._answered = False
            return self._requested(str(method), str(url), *args, **kwargs)

    def _requested(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        operation = _running.get()
        limit = DEFAULT_LIMIT_S if operation is None else operation.remaining(DEFAULT_LIMIT_S)
        if operation is not None:
            operation.check_cancelled()
            if limit == 0:
                raise Cancelled(f"the time limit of {operation.timeout_s or DEFAULT_LIMIT_S:g} s has passed")
        kwargs["timeout"] = min(limit, kwargs["timeout"]) if kwargs.get("timeout") else limit
        try:
            response = super().request(method, url, *args, **kwargs)
        except (requests.RequestException, OSError) as error:
            if operation is not None:
                operation.check_cancelled()
            raise Unreachable(self._explain(method, url, error, kwargs["timeout"])) from error
        self._answered = True
        return response

    def call(self, method: str, path: str, *, versioned: bool = True, **kwargs: Any) -> requests.Response:
        """A request that Docker's client has no method for; raises APIError like its methods do."""
        version = f"/v{self.api_version}" if versioned else ""
        response = self.request(method, f"{self.base_url}{version}{path}", **kwargs)
        try:
            response.raise_for_status()
        except requests.HTTPError as error:
            raise create_api_error_from_http_exception(error) from error
        return response

    def agree(self) -> None:
        """Settle on the newest API version that both sides know, by a ping (or else by asking for the version)."""
        if not self._target.ping:
            offered = str(self.version(api_version=False)["ApiVersion"])
        else:
            try:
                offered = self._ping().headers.get("Api-Version", DEFAULT_DOCKER_API_VERSION)
            except (APIError, Unreachable) as error:
                raise Unreachable(
                    f"Error pinging Docker server, please make sure that {self._target.host} is reachable "
                    f"and has a  '_ping' endpoint. Error: {text(error)}"
                ) from error
        if version_lt(offered, DEFAULT_DOCKER_API_VERSION):
            self._version = offered

    def _ping(self) -> requests.Response:
        try:
            return self.call("HEAD", "/_ping", versioned=False, timeout=PING_LIMIT_S)
        except APIError:
            return self.call("GET", "/_ping", versioned=False, timeout=PING_LIMIT_S)

    def abandon(self) -> None:
        """Break every request that waits for an answer."""
        self._adapter.abandon()

    def _explain(self, method: str, url: str, error: BaseException, limit: float) -> str:
        if isinstance(error, requests.Timeout):
            return f"no answer to {method.capitalize()} {_path(url)} from {self._target.host} within {limit:.0f} s"
        ended = _cause(error, RemoteCommandEnded)
        refused = _cause(error, ConnectionRefusedError) or _cause(error, FileNotFoundError)
        if refused is not None and ended is None:
            return f"Cannot connect to the Docker daemon at {self._target.host}. Is the docker daemon running?"
        shown = url.replace("http+docker://ssh", "http://docker.example.com").replace("http+docker://", "http://")
        return f'error during connect: {method.capitalize()} "{shown}": {ended or error}'


class Daemon:
    """The daemon of one provider. Nothing is contacted before the first operation."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._api: Api | None = None
        self._guard = threading.Lock()
        if target.is_ssh:
            Destination.parse(target.host)

    @contextmanager
    def serving(self, operation: Operation) -> Iterator[Api]:
        """The client, for one operation: its requests end with the operation's limit or its cancellation."""
        token = _running.set(operation)
        try:
            yield self._connected()
        finally:
            _running.reset(token)

    def ping(self) -> None:
        """Raise Unreachable unless the daemon answers."""
        self._connected()

    def stop(self) -> None:
        """Give up the requests under way."""
        api = self._api
        if api is not None:
            api.abandon()

    def _connected(self) -> Api:
        # One at a time: parallel first uses would each open separate connections.
        with self._guard:
            if self._api is None:
                api = Api(self.target)
                self._api = api
                try:
                    api.agree()
                except Exception as error:
                    self._api = None
                    api.close()
                    if isinstance(error, Cancelled):
                        raise
                    raise Unreachable(f"failed to create Docker client: {text(error)}") from error
            return self._api


def _base_url(target: Target) -> str:
    if not target.host.startswith("tcp://"):
        raise ProviderError(
            f'host "{target.host}" is not understood; give unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]'
        )
    return target.host.replace("tcp://", "http://" if target.tls is None else "https://", 1)


def _path(url: str) -> str:
    return "/" + url.split("://", 1)[-1].partition("/")[2]


def _cause(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The first of a kind among an error's causes, contexts and arguments."""
    seen: list[BaseException] = [error]
    for item in seen:
        if isinstance(item, kind):
            return item
        inner = [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
        seen += [other for other in inner if isinstance(other, BaseException) and other not in seen]
    return None
