"""Ports, pinned versions, names and time limits. No logic."""

from __future__ import annotations

from typing import Final

# --- names
LAB_NAME: Final = r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?"
"""A regular expression: part of paths and of the names of network namespaces, bridges and machines."""

# --- names on the nodes
NIC: Final = "lab0"
"""The underlay interface of every node, selected by MAC; cluster-advertise names it."""
GWBRIDGE: Final = "docker_gwbridge"
ENGINE_NETWORKS: Final = frozenset({"bridge", "default", "host", "none", GWBRIDGE})
"""Names that an engine has for networks of its own."""
LOOPBACK_NAMES: Final = frozenset(
    {
        "localhost",
        "ip6-localhost",
        "ip6-loopback",
        "ip6-localnet",
        "ip6-mcastprefix",
        "ip6-allnodes",
        "ip6-allrouters",
    }
)
"""Names that an engine writes into every container's ``/etc/hosts``, which is asked before any network's resolver."""

# --- ports
SSH_PORT: Final = 22
ENGINE_PORT: Final = 2376
"""Label in cluster-advertise; a listener only where the engine API is switched on."""
SERF_PORT: Final = 7946
VXLAN_PORT: Final = 4789
CONSUL_HTTP_PORT: Final = 8500
CONSUL_RPC_PORT: Final = 8300
CONSUL_GOSSIP_PORT: Final = 8301
CONSUL_WAN_PORT: Final = 8302
NODE_PORTS: Final = (SSH_PORT, ENGINE_PORT, VXLAN_PORT, SERF_PORT)
"""The nodes' ports by which a lab is controlled, of TCP and UDP alike, beside those of its store."""
PICKED_PORTS: Final = range(49153, 65536)
"""From these an engine picks a node port where none is stated."""
REGISTRY_PORT: Final = 5000
"""Of the platform, on the hypervisor's address of the underlay."""

LINK_LOCAL: Final = "169.254.0.0/16"
"""No router forwards these (RFC 3927). A hypervisor's other bridges have some, and a cloud's metadata service."""

# --- directories on a hypervisor
POOL_DIR: Final = "/var/lib/libvirt/images"
"""A system libvirt may write there: its qemu has no rights on a user's own directories."""

# --- pins
ENGINE_VERSION: Final = "20.10"
"""The last line with --cluster-store; 23.0 removed it."""
CONSUL_IMAGE: Final = "consul:1.8"
ETCD_IMAGE: Final = "overlab/etcd:3.3"
"""Of Debian's package, in the bundled platform's registry alone: Docker Hub has none of etcd's makers."""
BUSYBOX_IMAGE: Final = "busybox:1.35"
BUNDLED_IMAGES: Final = (BUSYBOX_IMAGE, CONSUL_IMAGE, "hashicorp/consul:1.8", ETCD_IMAGE, "nginx:1.18")
"""What the bundled platform's registry has."""
BUNDLED_ENGINE: Final = "20.10.5"
"""dockerd of the images and packages that the platform builds."""
IDLE: Final = ("sleep", "2147483647")
"""Command of a busybox that states none."""

# --- nodes as containers

NODE_SECURITY_OPTIONS: Final = ("seccomp=unconfined", "apparmor=unconfined")
"""Of a node that is not privileged: its systemd mounts, and its engine confines what it runs."""

# --- limits of containers on a node
CONTAINER_LOG: Final = {"max-size": "10m", "max-file": "3"}
"""Log options: what a container can write to its node's disk by its output."""
OPEN_FILES: Final = 4096
"""Descriptors a process of a container may have: the kernel's own hard limit, the most that an engine without
CAP_SYS_RESOURCE can be sure to set."""

# --- MTU
DEFAULT_MTU: Final = 1500
"""What drivers assume where none is stated."""
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
MINIMUM_DISK_GIB: Final = 4
"""No less than the disk of the image that the platform builds."""
