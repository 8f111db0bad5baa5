"""Ports, pinned versions, names and time limits. No logic."""

from __future__ import annotations

from typing import Final

# --- names on the nodes
NIC: Final = "lab0"
"""The underlay interface of every node, selected by MAC; cluster-advertise names it."""
GWBRIDGE: Final = "docker_gwbridge"

# --- ports
SSH_PORT: Final = 22
ENGINE_PORT: Final = 2376
"""Label in cluster-advertise; a listener only where the engine API is switched on."""
SERF_PORT: Final = 7946
VXLAN_PORT: Final = 4789
CONSUL_HTTP_PORT: Final = 8500
CONSUL_RPC_PORT: Final = 8300
CONSUL_GOSSIP_PORT: Final = 8301
RESERVED_PORTS: Final = frozenset(
    {SSH_PORT, ENGINE_PORT, SERF_PORT, VXLAN_PORT, CONSUL_HTTP_PORT, CONSUL_RPC_PORT, CONSUL_GOSSIP_PORT}
)
"""Ports of the lab itself: no workload may publish them."""
REGISTRY_PORT: Final = 5000

# --- directories on a hypervisor
POOL_DIR: Final = "/var/lib/libvirt/images"
"""A system libvirt may write there: its qemu has no rights on a user's own directories."""

# --- pins
ENGINE_VERSION: Final = "20.10"
"""The last line with --cluster-store; 23.0 removed it."""
CONSUL_IMAGE: Final = "consul:1.8"
BUSYBOX_IMAGE: Final = "busybox:1.35"
IDLE: Final = ("sleep", "2147483647")
"""Command of a busybox that states none."""

# --- VXLAN
VXLAN_OVERHEAD: Final = 50
"""Bytes: the MTU of an overlay network is the underlay's less this."""

# --- discovery (libkv): Consul refuses a session TTL below 10 s, which is half of discovery.ttl
HEARTBEAT_S: Final = 2
"""An engine that started before its store looks for it again a heartbeat later."""
DISCOVERY_TTL_S: Final = 30
MINIMUM_DISCOVERY_TTL_S: Final = 20

# --- limits, seconds; sized for three machines on two cores without KVM
MACHINE_LIMIT_S: Final = 1200
"""Power-on to an answering sshd."""
ENGINE_LIMIT_S: Final = 600
STORE_LIMIT_S: Final = 300
JOIN_LIMIT_S: Final = 300
OVERLAY_LIMIT_S: Final = 120
CHECK_LIMIT_S: Final = 20
"""A check is retried until it passes, at most this long from the begin of all."""

# --- what a machine needs at least to run an engine and the store
MINIMUM_MEMORY_MIB: Final = 512
MINIMUM_DISK_GIB: Final = 3
