"""etcd by its v2 API, the one that libkv speaks: servers only, which every engine knows by address."""

from __future__ import annotations

from typing import Final

from components.config import conventions
from components.config.stores.backend import Member, Process, StoreBackend

DATA_DIR = "/etcd/data"
CLIENT_PORT = 2379
PEER_PORT = 2380


def process(member: Member) -> Process:
    address, servers = member.address, member.servers
    cluster = ",".join(f"{name}=http://{server}:{PEER_PORT}" for name, server in servers.items())
    listens = ("127.0.0.1", str(address))
    flags = {
        "name": member.node,
        "data-dir": DATA_DIR,
        "enable-v2": "true",
        "listen-client-urls": ",".join(f"http://{host}:{CLIENT_PORT}" for host in listens),
        "advertise-client-urls": f"http://{address}:{CLIENT_PORT}",
        # Alone it has no peers, and needs no port for them.
        "listen-peer-urls": f"http://{address if len(servers) > 1 else '127.0.0.1'}:{PEER_PORT}",
        "initial-advertise-peer-urls": f"http://{address}:{PEER_PORT}",
        "initial-cluster": cluster,
    }
    return Process(command=("etcd", *(f"--{flag}={value}" for flag, value in flags.items())), listens=listens)


ETCD: Final = StoreBackend(
    name="etcd",
    title="etcd",
    image=conventions.ETCD_IMAGE,
    memory_mib=128,
    data_dir=DATA_DIR,
    client_port=CLIENT_PORT,
    server_ports=(("tcp", PEER_PORT),),
    process=process,
    public_image="quay.io/coreos/etcd:v3.3.27",
)
