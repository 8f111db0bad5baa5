"""A check as a command that a person can type. Checks run as functions of a script; their words alone say little."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from overlab.checks.results import CheckResult

_PID = "$(docker inspect -f {{.State.Pid}} %s)"
_STORE = '$(docker info -f {{.ClusterStore}} 2>/dev/null | sed "s|.*://||")'


def reproduce_command(verdict: CheckResult) -> str:
    """The command line that tries the same once more, from where ``overlab`` is; empty where there is none."""
    words = verdict.command.split()
    make = _COMMANDS.get(verdict.kind)
    if make is None or not verdict.got or not words:
        return ""
    try:
        command = make(verdict, words)
    except (IndexError, ValueError):  # a record of another version
        return ""
    return shlex.join(["overlab", "exec", verdict.node, "--", *command])


def _inside(verdict: CheckResult, *command: str) -> list[str]:
    return ["docker", "exec", verdict.source, *command]


def _within_network(verdict: CheckResult, command: str) -> list[str]:
    """With the node's tools, in the workload's network."""
    return ["sh", "-c", f"nsenter -t {_PID % shlex.quote(verdict.source)} -n {command}"]


def _as_is(verdict: CheckResult, words: list[str]) -> list[str]:
    return words


def _dns(verdict: CheckResult, _: list[str]) -> list[str]:
    return _inside(verdict, "nslookup", verdict.target.rsplit("/", 1)[-1], "127.0.0.11")


def _http(verdict: CheckResult, words: list[str]) -> list[str]:
    host, port = words[-2:]
    return _inside(verdict, "sh", "-c", f'printf "GET / HTTP/1.0\\r\\n\\r\\n" | nc -w 10 {host} {port}')


def _mtu(verdict: CheckResult, words: list[str]) -> list[str]:
    _, _, address, payload = words[:4]
    return _within_network(verdict, f"ping -n -M do -c 1 -W 2 -s {payload} {address}")


_COMMANDS: dict[str, Callable[[CheckResult, list[str]], list[str]]] = {
    "ping-ip": _as_is,
    "ping-name": _as_is,
    "isolation": _as_is,
    "dns": _dns,
    "http": _http,
    "http-node": _as_is,
    "mtu": _mtu,
    "interface": lambda verdict, _: _within_network(verdict, "ip addr show"),
    "bridge": lambda verdict, _: _within_network(verdict, "ip route show"),
    "internal": lambda verdict, _: _within_network(verdict, "ip route show"),
    "shared": lambda verdict, _: _inside(verdict, "ip", "-4", "addr"),
    "network": lambda verdict, _: ["docker", "network", "inspect", verdict.network],
    "kv": lambda _, __: ["sh", "-c", f"curl -s http://{_STORE}/v1/kv/docker/?keys"],
    "engine": lambda _, __: ["docker", "info"],
}
