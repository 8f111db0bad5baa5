"""Containers: what they may do to their node, what they may use of it, and how they restart.

A node's own container is what the lab is made of, and no isolation boundary: it may be privileged.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from .rule import DeferringUnknowns, Parameters, Resource, ResourceRule
from .types import CONTAINER, NODE_CONTAINER, STORE_AGENT

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
_NODE_DIRECTORIES = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/proc",
    "/root",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/docker",
)
_READABLE = {"/etc/localtime", "/etc/timezone"}
"""What a container may have of them, read-only."""
_HARMLESS_DEVICES = {"/dev/fuse", "/dev/net/tun", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"}
_UNCONFINED = {"seccomp=unconfined", "apparmor=unconfined", "label=disable", "systempaths=unconfined"}
_NO_NEW_PRIVILEGES = "no-new-privileges=false"


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


def host_paths(resource: Resource, _: Parameters) -> Iterator[str]:
    """Directories of the node that hold its configuration, keys, programs, devices or other containers."""
    for key, source_key in (("volumes", "hostPath"), ("mounts", "source")):
        for mount in resource.each(key):
            with resource.deferring_unknowns():
                path = _path(str(mount.get(source_key) or ""))
                if resource.parent_type == NODE_CONTAINER and path == "/sys/fs/cgroup":
                    continue
                if path in _READABLE and mount.get("readOnly"):
                    continue
                if any(path == one or path.startswith(f"{one}/") for one in _NODE_DIRECTORIES):
                    yield f"{key} mounts '{path}' of the node"


def devices(resource: Resource, _: Parameters) -> Iterator[str]:
    """Devices of the node: disks, memory, input."""
    for device in resource.each("devices"):
        with resource.deferring_unknowns():
            path = _path(str(device.get("hostPath") or ""))
            if path not in _HARMLESS_DEVICES:
                yield f"the device '{path}' of the node is passed through"


def node_namespaces(resource: Resource, _: Parameters) -> Iterator[str]:
    """The node's process, IPC, user or network namespace. A store's agent serves the node, on the node's network."""
    for key in ("pidMode", "ipcMode", "usernsMode", "networkMode"):
        # The network stack of a container that does not exist yet: evaluated when it does, and no notice before.
        with DeferringUnknowns([]) if key == "networkMode" else resource.deferring_unknowns():
            agent = key == "networkMode" and resource.parent_type == STORE_AGENT
            if resource.props.get(key) == "host" and not agent:
                yield f"{key} is 'host': the namespace of the node"


def unconfined(resource: Resource, _: Parameters) -> Iterator[str]:
    """A security option that turns confinement off."""
    if resource.parent_type == NODE_CONTAINER:
        return
    for option in resource.each("securityOpts"):
        form = str(option).replace(":", "=", 1)
        if form in _UNCONFINED or form == _NO_NEW_PRIVILEGES:
            yield f"the security option '{option}'"


def _path(source: str) -> str:
    return posixpath.normpath("/" + source.lstrip("/")) if source.startswith("/") else source


def _reaches_socket(source: str) -> bool:
    path = _path(source)
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
        name="container-host-paths",
        reason="Files of the node's system lead out of the container, or give away the node's keys.",
        remedy="use a named volume; for the time zone mount /etc/localtime read-only",
        types=(CONTAINER,),
        predicate=host_paths,
    ),
    ResourceRule(
        name="container-devices",
        reason="A device of the node is not confined by the container.",
        remedy=f"do without, or use one of {', '.join(sorted(_HARMLESS_DEVICES))}",
        types=(CONTAINER,),
        predicate=devices,
    ),
    ResourceRule(
        name="container-namespaces",
        reason="In a namespace of the node a container sees and signals the node's processes, or has its network.",
        remedy="leave pidMode, ipcMode, usernsMode and networkMode out, or share those of another container",
        types=(CONTAINER,),
        predicate=node_namespaces,
    ),
    ResourceRule(
        name="container-confined",
        reason="Without seccomp, AppArmor or no-new-privileges a container has all of the kernel to attack.",
        remedy="drop the option; a profile of your own allows the single call that is needed",
        types=(CONTAINER,),
        predicate=unconfined,
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
