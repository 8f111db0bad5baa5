"""What to write instead of a key that a section does not have: its new name, Compose's meaning, or the nearest key."""

from __future__ import annotations

import difflib

from components.config.section import Spec
from components.config.spec import (
    AttachmentSpec,
    CheckSpec,
    EngineSpec,
    HypervisorSpec,
    LabSpec,
    NetworkSpec,
    PortSpec,
    WorkloadSpec,
)

_LONGEST_KEY = 40

RENAMED: dict[type[Spec], dict[str, str]] = {
    LabSpec: {"network": "underlay", "overlays": "networks", "ground": "platform"},
    EngineSpec: {"local_pools": "address_pools"},
    NetworkSpec: {"made_from": "created_on"},
    WorkloadSpec: {"overlays": "networks", "share_with": "network_mode: container:NAME", "serves": "http_port"},
    AttachmentSpec: {"address": "ipv4_address"},
    PortSpec: {"container": "target", "node": "published"},
    CheckSpec: {"overlay": "network", "within_s": "timeout_s"},
    HypervisorSpec: {"pools": "pool_dir"},
}
RENAMED_VALUES = {"golden": "preinstalled", "embedded": "bundled", "native": "system"}

_DEFAULT = "not offered: a workload runs with Docker's default rights, limits and logging"
_IMAGE = "not offered: build it into the image"
_NO_VOLUMES = "not offered: a lab tests networks, and its workloads keep no data"
_SECRET = "write {secure: ...} as a value of environment: pulumi config set --secret --path"
_ONE = "leave it out: a workload is one container on one node"
_NO_BUILD = "push the image to a registry that the nodes reach, and name it in image"
_IPV4 = "not offered: overlay networks with a cluster store have IPv4 only"
_MAC = "not offered: on an overlay network libnetwork derives the MAC from the IPv4 address"
_ALIASES = "leave it out: workloads of a network find each other by name and by networks.NAME.aliases"
_ORDER = "not offered: workloads start in any order, and a check is retried until its timeout_s"


def _each(keys: str, answer: str) -> dict[str, str]:
    return dict.fromkeys(keys.split(), answer)


COMPOSE: dict[type[Spec], dict[str, str]] = {
    LabSpec: {
        "services": "write workloads: each names its node",
        "version": "leave it out",
        "volumes": _NO_VOLUMES,
        "secrets": _SECRET,
        "include": "write everything in the stack file",
        "configs": _IMAGE,
    },
    NetworkSpec: {
        "driver_opts": "write mtu for com.docker.network.driver.mtu; no other option is offered",
        "ipam": "write subnet, ip_range, gateway and aux_addresses in the network itself",
        "external": "leave it out: the lab creates all its networks",
        "attachable": "leave it out: every container can be connected to a network of a cluster store",
        "name": "leave it out: the key is the network's name",
        "labels": "not offered: a network's labels are the lab's own",
        **_each("enable_ipv6 enable_ipv4", _IPV4),
    },
    WorkloadSpec: {
        "container_name": "leave it out: the key is the container's name",
        "restart": "leave it out: every workload has unless-stopped",
        "healthcheck": "write a check under checks",
        "env_file": "write the variables under environment",
        "expose": "leave it out: workloads of a network reach every port of each other",
        "entrypoint": "write the arguments in command; another entrypoint needs another image",
        "domainname": "write the full name in hostname",
        "mac_address": _MAC,
        "scale": _ONE,
        "deploy": "write node, memory_mib and ports in the workload; it is one container on one node",
        "profiles": "leave it out, and use a separate stack",
        "extends": "write the keys out, or use a YAML alias",
        "pull_policy": "leave it out: the image is pulled before the workload starts",
        "dns_opt": "not offered: only dns and dns_search are",
        **_each("mem_limit mem_reservation memswap_limit shm_size", "write memory_mib: the limit, without swap"),
        **_each("cpus cpu_shares cpu_quota cpuset", "write machine.vcpu for the node; a workload has no limit"),
        **_each("volumes volumes_from tmpfs", _NO_VOLUMES),
        **_each("user working_dir configs init stop_signal", _IMAGE),
        **_each("secrets", _SECRET),
        **_each("build platform", _NO_BUILD),
        **_each("depends_on stop_grace_period", _ORDER),
        **_each("links external_links", _ALIASES),
        **_each("privileged cap_add cap_drop devices security_opt sysctls ulimits logging read_only", _DEFAULT),
        **_each("pid ipc uts userns_mode group_add runtime cgroup_parent stdin_open tty gpus", _DEFAULT),
    },
    AttachmentSpec: {
        "mac_address": _MAC,
        "driver_opts": "not offered: the overlay driver has none for an endpoint",
        **_each("priority gw_priority", "leave it out: the default route is always that of docker_gwbridge"),
        **_each("ipv6_address link_local_ips", _IPV4),
    },
    PortSpec: {
        "host_ip": "leave it out: a port is published on every address of the node",
        **_each("mode name app_protocol", "leave it out: a port is published on the workload's own node"),
    },
}


def answer(section: type[Spec], key: str) -> tuple[str, str]:
    """The rule that the key breaks, and the remedy."""
    if new := RENAMED.get(section, {}).get(key):
        return "unknown key", f"write {new}"
    if meaning := COMPOSE.get(section, {}).get(key):
        return "a key of Compose that a lab does not have here", meaning
    known = sorted(section.model_fields)
    close = difflib.get_close_matches(key[:_LONGEST_KEY], known, n=1)
    first = f"did you mean {close[0]}?" if close else "remove it;"
    return "unknown key", f"{first} known keys: {', '.join(known)}"
