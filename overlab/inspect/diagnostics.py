"""Evidence about a lab in one archive, without secrets: logs, store, kernels and state, as they are now.

Everything is bounded: a node that does not answer in time is in it with what it printed until then, and why it ended.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import platform as python_platform
import secrets
import shlex
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from components.config.platform import Platform
from components.config.settings import Settings
from components.node import store_client
from overlab import openssh
from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.inspect import machines, redaction
from overlab.platform import libvirt_api
from overlab.platform.libvirt_api import LibvirtError
from overlab.stack import state
from overlab.stack.stack import Stack

LIMIT_S = 60.0
_COMMAND_LIMIT_S = 8
_BYTES = 200_000
"""Of each text; its end is kept."""
_CONSOLE_S = 0.5
_OVERLAYS = """\
for file in /run/docker/netns/*-*; do
    echo "== $file"
    nsenter --net="$file" sh -c 'ip -d link; ip neigh show; bridge fdb show; ip -s link show type vxlan'
done
"""
_ON_NODE = {
    "journal-engine.log": "journalctl --no-pager -o short-iso -n 800 -u docker.service -u 'overlab-*'",
    "journal-warnings.log": "journalctl --no-pager -o short-iso -b -p warning -n 300",
    "kernel.log": "dmesg | tail -n 200",
    "units.txt": "systemctl --no-pager --failed; systemctl --no-pager -n 0 status docker.service 'overlab-*'",
    "containers.txt": "docker ps --all --no-trunc; docker network ls --no-trunc",
    "links.txt": "ip -d address; ip route; ip neigh; ss -lntup",
    "overlays.txt": _OVERLAYS,
    "packet-filter.txt": "iptables-save -c; ip6tables-save -c",
    "machine.txt": "uname -a; uptime; free -m; df -h; df -i /",
}
"""Member of a node's directory -> what prints it there."""


def write(
    file: Path, settings: Settings, platform: Platform, stack: Stack, reason: str = "", limit_s: float = LIMIT_S
) -> None:
    """Collect for at most about ``limit_s`` and write a ``tar.gz``, 0600. ``reason`` is why, where something failed.

    Raises :class:`OverlabError` where the file cannot be written.
    """
    members = collect(settings, platform, stack, reason, limit_s)
    values = redaction.secrets_of(stack.paths, settings)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in sorted(members.items()):
            data = redaction.redacted(text, values).encode(errors="replace")
            info = tarfile.TarInfo(f"{settings.name}/{name}")
            info.size, info.mode, info.mtime = len(data), 0o600, int(time.time())
            archive.addfile(info, io.BytesIO(data))
    try:
        write_private(file, packed.getvalue())
    except OSError as error:
        raise OverlabError(f"{file} cannot be written: {error}", "name another file") from error


def collect(settings: Settings, platform: Platform, stack: Stack, reason: str, limit_s: float) -> dict[str, str]:
    """Text of each member of the archive, as it is: with secrets. Raises nothing for what does not answer."""
    found = {"reason.txt": f"{reason}\n"} if reason else {}
    found["settings.yaml"] = _end_of(stack.file)
    found["versions.json"] = json.dumps(stack.manifest.sources | {"kernel": python_platform.platform()}, indent=1)
    found["state.json"] = _state(stack)
    for log in stack.paths.logs.glob("*"):
        if log.suffix in (".log", ".txt"):
            found[f"logs/{log.name}"] = _end_of(log)
    with ThreadPoolExecutor(max_workers=len(settings.nodes) + 1) as pool:
        running = pool.submit(machines.states, settings, platform, limit_s)
        nodes = {key: pool.submit(_node, settings, platform, limit_s, key) for key in settings.nodes}
        for key, texts in nodes.items():
            found |= {f"{key}/{name}": text for name, text in texts.result().items()}
        found["machines.json"] = json.dumps(running.result(), indent=1)
    return found


def _node(settings: Settings, platform: Platform, limit_s: float, node: str) -> dict[str, str]:
    """What its commands print, each under its name; a session that ends early leaves what came before."""
    return _session(settings, platform, limit_s, node) | {"console.log": _console(settings, platform, node, limit_s)}


def _session(settings: Settings, platform: Platform, limit_s: float, node: str) -> dict[str, str]:
    mark = f"===={secrets.token_hex(8)} "
    commands = _ON_NODE | {
        "store.json": f"{Path(store_client.SCRIPT).name} report docker/",
        "store.log": f"docker logs --tail 300 {settings.store.kind}",
    }
    script = "".join(
        f"echo; echo {shlex.quote(mark + name)}\n"
        f"timeout {_COMMAND_LIMIT_S} sh -c {shlex.quote(command)} </dev/null 2>&1 | tail -c {_BYTES}\n"
        for name, command in commands.items()
    )
    ssh = openssh.command(
        settings, platform, node, ["sh", "-s"], terminal=False, connect_limit_s=max(3, round(limit_s / 3))
    )
    ended = ""
    try:
        done = subprocess.run(ssh, input=script.encode(), capture_output=True, timeout=limit_s, check=False)
        output = done.stdout
        if done.returncode == openssh.SSH_FAILED:
            ended = done.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired as error:
        output, ended = error.stdout or b"", f"no answer within {limit_s:g} s"
    except OSError as error:
        output, ended = b"", str(error)
    parts = (part.partition("\n") for part in output.decode(errors="replace").split(f"\n{mark}")[1:])
    texts = {name: text for name, _, text in parts}
    if "store.json" in texts:
        texts["store.json"] = _decoded(texts["store.json"])
    return texts | ({"ended.txt": ended} if ended else {})


def _console(settings: Settings, platform: Platform, node: str, limit_s: float) -> str:
    """The end of a machine's console, or of a node container's, as far as what runs it keeps it; or why not."""
    name = f"overlab-{settings.name}-{node}"
    try:
        if platform.node_engine is not None:
            return _container_console(platform.node_engine.docker_host, name, limit_s)
        uri = platform.hypervisors_by_name[settings.nodes[node].hypervisor].uri
        return libvirt_api.ask(uri, lambda connection: _domain_console(connection, name), limit_s)
    except (LibvirtError, KeyError, OSError) as error:
        return str(error)


def _container_console(docker_host: str, name: str, limit_s: float) -> str:
    import docker

    try:
        with contextlib.closing(docker.DockerClient(base_url=docker_host, timeout=round(limit_s))) as client:
            return bytes(client.api.logs(name, tail=300, timestamps=True)).decode(errors="replace")
    except docker.errors.DockerException as error:
        return str(error)


def _domain_console(connection: Any, name: str) -> str:
    """What a pseudo terminal holds that nobody read: a few KiB."""
    import libvirt

    stream, text = connection.newStream(libvirt.VIR_STREAM_NONBLOCK), b""
    connection.lookupByName(name).openConsole(None, stream, 0)
    end = time.monotonic() + _CONSOLE_S
    while time.monotonic() < end:
        received = stream.recv(1 << 16)
        if isinstance(received, bytes):
            text += received
        else:
            time.sleep(0.05)
    stream.abort()
    return text.decode(errors="replace")


def _state(stack: Stack) -> str:
    """Names and identifiers alone: inputs and outputs may hold anything."""
    try:
        known = state.read(stack)
    except (OverlabError, OSError) as error:
        return str(error)
    resources = [{"urn": one.urn, "id": one.id, "host": one.host, "outdated": one.outdated} for one in known.resources]
    return json.dumps({"resources": resources, "creating": [one.urn for one in known.creating]}, indent=1)


def _end_of(file: Path) -> str:
    try:
        return file.read_bytes()[-_BYTES:].decode(errors="replace")
    except OSError as error:
        return str(error)


def _decoded(text: str) -> str:
    """The store's report with its values in plain text."""
    try:
        report = json.loads(text)
        keys = {key: base64.b64decode(value).decode(errors="replace") for key, value in report["keys"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return text
    return json.dumps(report | {"keys": keys}, indent=1)
