"""Containers: what they may do to their node, what they may use of it, and how they restart.

A node's own container is what the lab is made of, and no isolation boundary: it may be privileged.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from .rule import Parameters, Resource, ResourceRule
from .types import CONTAINER, NODE_CONTAINER

_SOCKETS = {"docker.sock", "containerd.sock"}
_ABOVE_SOCKETS = {"/", "/run", "/var", "/var/run", "/run/containerd"}
_NODE_CAPABILITIES = {
    "ALL",
    "BPF",
    "DAC_READ_SEARCH",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
}
_WAITS = {"always", "unless-stopped"}


def privileged(resource: Resource, _: Parameters) -> Iterator[str]:
    """Privileged: root on the node."""
    if resource.parent_type != NODE_CONTAINER and resource.props.get("privileged"):
        yield "the container is privileged"


def engine_socket(resource: Resource, _: Parameters) -> Iterator[str]:
    """The engine's or containerd's socket is mounted, alone or with a directory that holds it."""
    for key, source_key in (("volumes", "hostPath"), ("mounts", "source")):
        for mount in resource.each(key):
            with resource.deferring_unknowns():
                source = mount.get(source_key)
                if source and _reaches_socket(str(source)):
                    yield f"{key} mounts '{source}' of the node, and with it the engine's socket"


def _reaches_socket(source: str) -> bool:
    path = posixpath.normpath("/" + source.lstrip("/")) if source.startswith("/") else source
    return path in _ABOVE_SOCKETS or posixpath.basename(path) in _SOCKETS


def node_capabilities(resource: Resource, _: Parameters) -> Iterator[str]:
    """Capabilities of the SYS_ADMIN class."""
    if resource.parent_type == NODE_CONTAINER:
        return
    for added in (resource.props.get("capabilities") or {}).get("adds") or ():
        if str(added).upper().removeprefix("CAP_") in _NODE_CAPABILITIES:
            yield f"the capability {added} is added"


def no_memory_limit(resource: Resource, _: Parameters) -> Iterator[str]:
    """No limit: one container can take the memory of engine and store."""
    if not resource.props.get("memory"):
        yield "no memory limit is set"


def bad_restart_policy(resource: Resource, _: Parameters) -> Iterator[str]:
    """Neither ends (``on-failure`` with a count, a one-shot) nor waits (``always``, ``unless-stopped``)."""
    policy = resource.props.get("restart") or "no"
    if policy in _WAITS:
        return
    if policy == "on-failure":
        if not resource.props.get("maxRetryCount"):
            yield "restart is on-failure without maxRetryCount: endless restarts, and none after a clean exit"
    elif resource.props.get("mustRun", True):
        yield f"restart is '{policy}' for a container that must run: it stays down after the node's next start"


RULES = (
    ResourceRule(
        name="container-unprivileged",
        reason="A privileged container is root on its node.",
        remedy="drop privileged; add the single capability or device that is needed",
        types=(CONTAINER,),
        predicate=privileged,
    ),
    ResourceRule(
        name="container-engine-socket",
        reason="Whoever has the engine's socket is root on its node.",
        remedy="do not mount the socket, nor /run, /var/run, /var or /; reach the engine from outside, over SSH or TLS",
        types=(CONTAINER,),
        predicate=engine_socket,
    ),
    ResourceRule(
        name="container-capabilities",
        reason="Capabilities of the SYS_ADMIN class lead out of the container.",
        remedy="do without, or add a narrower one (NET_ADMIN, NET_RAW, SYS_NICE, ...)",
        types=(CONTAINER,),
        predicate=node_capabilities,
    ),
    ResourceRule(
        name="container-memory-limit",
        reason="A container without a memory limit can starve its node's engine and the store.",
        remedy="set memory (MiB), and memorySwap to the same",
        types=(CONTAINER,),
        predicate=no_memory_limit,
    ),
    ResourceRule(
        name="container-restart",
        reason="A container's restart policy ends or waits: it neither restarts endlessly nor stays down unnoticed.",
        remedy="use unless-stopped or always; on-failure with maxRetryCount; for a one-shot, mustRun=False",
        types=(CONTAINER,),
        predicate=bad_restart_policy,
    ),
)
