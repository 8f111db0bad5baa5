"""What this machine offers to node containers: kernel features, capabilities, cgroups. Probes only."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_CGROUPS = Path("/sys/fs/cgroup")
_CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE"
    " NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN"
    " SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE"
    " MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ"
).split()
"""By number. Engine 20.10 knows none of the later ones (PERFMON, BPF, CHECKPOINT_RESTORE)."""
_REQUIRED = {"NET_ADMIN", "SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE", "MKNOD", "SETFCAP"}
_LIMIT_S = 20.0

# Run in private network and mount namespaces: nothing of a probe persists.
PROBES = {
    "vxlan": "ip link add probe type vxlan id 1 dstport 4789 dev lo",
    "veth": "ip link add probe type veth peer name probe2",
    "bridge": "ip link add probe type bridge",
    "iptables nat": "iptables -t nat -A OUTPUT -p tcp --dport 1 -j REDIRECT",
    "br_netfilter": "modprobe -q br_netfilter; test -e /proc/sys/net/bridge/bridge-nf-call-iptables"
    " || { ip link add probe type bridge && test -e /proc/sys/net/bridge/bridge-nf-call-iptables; }",
    "overlayfs": "modprobe -q overlay; grep -qw overlay /proc/filesystems",
}


@dataclass(frozen=True)
class ContainerHost:
    """How a node container is to be run here."""

    privileged: bool
    """Whether ``--privileged`` works: it asks for every capability that the kernel has."""
    capabilities: tuple[str, ...]
    """Those of this process's bounding set, for where ``--privileged`` does not work."""
    cgroup_namespace: Literal["host", "private"]
    """``host`` with cgroup v1: inside a private one the nodes' own runc looks for paths that do not exist."""

    def __str__(self) -> str:
        rights = "privileged" if self.privileged else f"{len(self.capabilities)} capabilities"
        return f"{rights}, cgroup namespace {self.cgroup_namespace}"


def detect() -> ContainerHost:
    """How nodes run on this machine, from the process's bounding set and the mounted cgroups."""
    bounding = _bounding_set()
    return ContainerHost(
        privileged=bounding == _every_capability(),
        capabilities=tuple(name for number, name in enumerate(_CAPABILITIES) if bounding >> number & 1),
        cgroup_namespace="private" if (_CGROUPS / "cgroup.controllers").exists() else "host",
    )


def missing() -> Iterator[str]:
    """A short text for each requirement of node containers that this machine does not meet."""
    lacking = _REQUIRED - set(detect().capabilities)
    if lacking:
        yield f"capabilities {', '.join(sorted(lacking))}"
    if not (_CGROUPS / "cgroup.controllers").exists() and not (_CGROUPS / "memory").is_dir():
        yield "cgroups (neither version 1 nor version 2 is mounted on /sys/fs/cgroup)"
    for name, probe in PROBES.items():
        if not _works(probe):
            yield f"the kernel's {name}"


def _works(probe: str) -> bool:
    command = ["unshare", "--net", "--mount", "--", "sh", "-c", probe]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _bounding_set() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


def _every_capability() -> int:
    return (1 << int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1) - 1
