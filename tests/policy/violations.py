"""For each mandatory rule one change of the small lab that breaks it, and no other."""

from __future__ import annotations

from collections.abc import Mapping

from tests.policy.small_lab import NODE, Changes

VIOLATIONS: Mapping[str, Changes] = {
    "image-pinned": {"workload": {"image": "busybox:latest"}},
    "container-unprivileged": {"workload": {"privileged": True}},
    "container-engine-socket": {
        "workload": {"volumes": [{"host_path": "/var/run/docker.sock", "container_path": "/sock"}]}
    },
    "container-capabilities": {"workload": {"capabilities": {"adds": ["SYS_ADMIN"]}}},
    "container-host-paths": {"workload": {"volumes": [{"host_path": "/etc", "container_path": "/x"}]}},
    "container-devices": {"workload": {"devices": [{"host_path": "/dev/sda"}]}},
    "container-namespaces": {"workload": {"pid_mode": "host"}},
    "container-confined": {"workload": {"security_opts": ["seccomp=unconfined"]}},
    "container-memory-limit": {"workload": {"memory": None}},
    "container-restart": {"workload": {"restart": "on-failure"}},
    "port-published": {"workload": {"ports": [{"internal": 80, "external": 8080}]}},
    "overlay-subnet-stated": {"overlay": {"ipam_configs": None}},
    "subnets-disjoint": {"overlay": {"ipam_configs": [{"subnet": "10.99.0.128/25"}]}},
    "engine-api-certificates": {"engine": {"listeners": ["fd://", "tcp://0.0.0.0:2376"]}},
    "engines-share-store": {"engine": {"cluster_advertise": None}},
    "store-http-private": {"agent": {"client_addresses": ["0.0.0.0"]}},
    "command-host-key": {"joined": {"connection": {"host": NODE, "user": "root"}}},
    "command-cleanup": {"joined needs": ["store"], "dockerd needs": []},
    "secret-inputs": {"workload": {"envs": ["DB_PASSWORD=hunter2"]}},
    "domain-replacement": {"domain options": {"delete_before_replace": None}},
    "domain-static-address": {"machine": {"address": None}},
    "workload-after-overlay": {"workload": {"networks_advanced": [{"name": "ov_net1"}]}},
    "overlay-after-store": {"overlay needs": ["store"]},
    "names-unique": {"more": {"second": "workload"}, "second": {"name": "workload"}},
}

ADVISED: Mapping[str, Changes] = {
    "store-gossip-key": {"agent": {"encrypted": False}},
    "engine-hardened": {"engine": {"no_new_privileges": False}},
    "store-acl": {"more agents": 2},
}
"""The same for advice that the small lab does not get as it is."""
