"""The store's access lists, against real Consul agents with the configuration that the lab's nodes get."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from components import store_access
from components.config.platform import Identity, StoreTokens
from components.config.stores.consul import agent_config
from overlab.platform import identity
from tests.components import consul
from tests.components.consul import Agents

pytestmark = pytest.mark.slow

SERVER, OTHER, AGENT, UNTRUSTED = (f"127.0.0.{n}" for n in (1, 2, 4, 5))
UNKNOWN = "X-Consul-Token: 11111111-2222-3333-4444-555555555555"
_RPC = """
import socket, ssl, sys
address, ca, cert, key, name = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
plain = socket.create_connection((address, 8300), 10)
plain.sendall(bytes([3]))
with context.wrap_socket(plain, server_hostname=name) as wrapped:
    # A server closes a connection without a valid certificate of its client: it is seen when reading.
    wrapped.settimeout(2)
    wrapped.sendall(bytes([4]))
    try:
        sys.exit(wrapped.recv(1) == b"")
    except TimeoutError:
        sys.exit(0)
"""
_PLAIN_RPC = """
import socket, sys
plain = socket.create_connection((sys.argv[1], 8300), 10)
plain.sendall(bytes([0]))
plain.settimeout(10)
try:
    print(plain.recv(1))
except ConnectionError:
    print(b"")
"""
ANONYMOUS = "X-Consul-Token: anonymous"


@dataclass(frozen=True)
class Cluster:
    """Three servers and an agent, one a node of the lab; and one with the gossip key and no token."""

    agents: Agents
    keys: Identity

    @property
    def tokens(self) -> StoreTokens:
        assert self.keys.store_tokens is not None
        return self.keys.store_tokens

    def wanted(self, *, prune: bool = False) -> dict[str, Any]:
        assert self.keys.gossip_key is not None
        found = store_access.wanted(self.keys.gossip_key, self.tokens, 4, prune=prune)
        return found | {"url": f"http://{SERVER}:8500", "limit_s": 60}

    def ensure(self, wanted: dict[str, Any] | None = None) -> str:
        """Run the nodes' script; what it printed."""
        done = self.agents.run(
            [sys.executable, str(store_access.SCRIPT)], stdin=json.dumps(self.wanted() if wanted is None else wanted)
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"policies": ["lab-agents", "lab-engines"]}
        return done.stderr.strip()

    def secrets(self) -> list[str]:
        wanted = self.wanted()
        return [wanted["gossip_key"], *(token["secret"] for token in wanted["tokens"])]

    def manage(self, path: str, *options: str, body: str | None = None) -> tuple[int, str]:
        """As whoever has the management token."""
        header = f"X-Consul-Token: {self.wanted()['management'][0]}"
        return self.agents.call(SERVER, path, "-H", header, *options, body=body)


NODES = {f"docker0{n}": f"127.0.0.{n}" for n in (1, 2, 3, 4)}
SERVERS = ("docker01", "docker02", "docker03")


def _keys(directory: Path) -> Identity:
    return identity.ensure(directory / "identity", "t", NODES, SERVERS)


def _configs(keys: Identity, *, acl: bool) -> dict[str, dict[str, Any]]:
    """Of three servers and an agent, each at an address of loopback."""
    servers = tuple(IPv4Address(f"127.0.0.{n}") for n in (1, 2, 3))
    assert keys.gossip_key and keys.store_tls and keys.store_tokens  # noqa: PT018
    found = {}
    for node, address in NODES.items():
        config = agent_config(node, IPv4Address(address), servers, acl=acl)
        config |= {"encrypt": keys.gossip_key.read_text(), "ca_file": str(keys.store_tls.ca)}
        config |= {"cert_file": str(keys.store_tls.certs[node]), "key_file": str(keys.store_tls.keys[node])}
        if acl:
            tokens = store_access.acl_tokens(keys.store_tokens, server=node in SERVERS)
            config["acl"] = config["acl"] | {"tokens": tokens}
        found[node] = config
    return found


def _names(cert: Path) -> list[x509.GeneralName]:
    certificate = x509.load_pem_x509_certificate(cert.read_bytes())
    return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("consul")
    keys = _keys(directory)
    with consul.network(directory) as agents:
        configs = _configs(keys, acl=True)
        acl = {key: value for key, value in configs["docker04"]["acl"].items() if key != "tokens"}
        configs["docker05"] = configs["docker04"] | {"node_name": "untrusted", "acl": acl}
        for key, config in configs.items():
            agents.start(key, config | {"bind_addr": f"127.0.0.{key[-1]}"})
        found = Cluster(agents, keys)
        printed = found.ensure()
        assert printed == "store access: lab-agents, lab-engines, token of lab-agents, token of lab-engines"
        # An agent that is no server remembers for half a minute that its token was not there.
        for address in (SERVER, OTHER, AGENT):
            agents.until(address, "/v1/kv/docker/nodes", 200, body="")
            # And a while longer it speaks of a legacy mode, with 500.
            agents.until(address, "/v1/acl/tokens", 403)
        yield found


def test_a_store_with_data_may_be_switched_to_access_lists_and_back(tmp_path: Path) -> None:
    key = "/v1/kv/docker/network/v1.0/network/x"
    keys = _keys(tmp_path)
    with consul.network(tmp_path) as agents:
        for acl, foreign in ((False, 200), (True, 403), (False, 200)):
            for name, config in _configs(keys, acl=acl).items():
                if config.get("server"):
                    agents.start(name, config)
            if acl:
                Cluster(agents, keys).ensure()
            if foreign == 200:
                agents.until(SERVER, key, 200, body="kept")
            assert agents.until(SERVER, f"{key}?raw", 200) == "kept"
            assert agents.call(SERVER, "/v1/kv/other", body="x")[0] == foreign
            agents.stop()


def test_a_second_time_changes_nothing(cluster: Cluster) -> None:
    assert cluster.ensure() == "store access: nothing to change"


@pytest.mark.parametrize("node", [SERVER, AGENT])
def test_a_node_may_do_what_engines_gates_and_checks_do(cluster: Cluster, node: str) -> None:
    ask = cluster.agents.call
    assert ask(node, f"/v1/kv/docker/nodes/{node}:2376", body="x") == (200, "true")
    assert ask(node, "/v1/kv/docker/?keys")[0] == 200
    assert ask(node, "/v1/kv/docker/network/v1.0/network/?recurse")[0] == 404
    session = '{"TTL": "15s", "Behavior": "delete", "LockDelay": "1ms"}'
    code, made = ask(node, "/v1/session/create", body=session)
    assert code == 200
    assert ask(node, f"/v1/session/renew/{json.loads(made)['ID']}", body="")[0] == 200
    assert ask(node, f"/v1/kv/docker/nodes/{node}:2376", "-X", "DELETE") == (200, "true")
    ask(node, "/v1/kv/overlab/epoch?cas=0", body="one")
    assert ask(node, "/v1/kv/overlab/epoch?raw") == (200, "one")
    assert len(json.loads(ask(node, "/v1/status/peers")[1])) == 3
    assert ":8300" in ask(node, "/v1/status/leader")[1]
    assert "docker04" in ask(node, "/v1/catalog/nodes")[1]
    assert json.loads(ask(node, "/v1/agent/self")[1])["Config"]["Version"]


@pytest.mark.parametrize("node", [SERVER, AGENT])
def test_a_node_may_do_nothing_else(cluster: Cluster, node: str) -> None:
    ask = cluster.agents.call
    assert ask(node, "/v1/kv/other", body="x")[0] == 403
    assert ask(node, "/v1/kv/other")[0] == 403
    assert ask(node, "/v1/agent/service/register", body='{"Name": "x", "Port": 1}')[0] == 403
    assert ask(node, "/v1/acl/tokens")[0] == 403
    assert ask(node, "/v1/acl/token", body='{"Policies": [{"Name": "global-management"}]}')[0] == 403
    assert ask(node, "/v1/catalog/deregister", body='{"Node": "docker02"}')[0] == 403
    assert ask(node, "/v1/agent/leave", body="")[0] == 403


@pytest.mark.parametrize("node", [SERVER, AGENT])
@pytest.mark.parametrize("token", [UNKNOWN, ANONYMOUS])
def test_an_unknown_token_and_none_are_refused(cluster: Cluster, node: str, token: str) -> None:
    assert cluster.agents.call(node, "/v1/kv/docker/x", "-H", token, body="x")[0] == 403


def test_an_agent_without_tokens_reads_and_writes_nothing(cluster: Cluster) -> None:
    ask = cluster.agents.call
    cluster.agents.until(UNTRUSTED, "/v1/kv/docker/nodes/x", 403, body="x")
    assert ask(UNTRUSTED, "/v1/session/create", body="{}")[0] == 403
    assert ask(UNTRUSTED, "/v1/kv/docker/?keys") == (404, "")
    assert ask(SERVER, "/v1/kv/docker/nodes/x")[0] == 404


def test_no_token_is_shown(cluster: Cluster) -> None:
    shown = "".join(cluster.agents.call(node, "/v1/agent/self")[1] for node in (SERVER, AGENT))
    shown += "".join(cluster.agents.log(f"docker0{n}").read_text() for n in range(1, 6))
    assert "DebugConfig" in shown
    assert not [secret for secret in cluster.secrets() if secret in shown]


def test_manual_changes_are_reverted(cluster: Cluster) -> None:
    (accessor,) = [one["accessor"] for one in cluster.wanted()["tokens"] if one["policy"] == "lab-engines"]
    wide = '{"Name": "lab-engines", "Rules": "key_prefix \\"\\" { policy = \\"write\\" }"}'
    policies = {one["Name"]: one["ID"] for one in json.loads(cluster.manage("/v1/acl/policies")[1])}
    assert cluster.manage(f"/v1/acl/policy/{policies['lab-engines']}", body=wide)[0] == 200
    assert cluster.ensure() == "store access: lab-engines"
    token = json.loads(cluster.manage(f"/v1/acl/token/{accessor}")[1])
    bare = {key: token[key] for key in ("AccessorID", "SecretID")}
    assert cluster.manage(f"/v1/acl/token/{accessor}", body=json.dumps(bare | {"Policies": []}))[0] == 200
    assert cluster.ensure() == "store access: token of lab-engines"
    assert cluster.manage(f"/v1/acl/token/{accessor}", "-X", "DELETE") == (200, "true")
    assert cluster.ensure() == "store access: token of lab-engines"
    cluster.agents.until(SERVER, "/v1/kv/docker/nodes", 200, body="")


def test_rpc_between_agents_is_for_those_with_a_certificate_of_the_store(cluster: Cluster, tmp_path: Path) -> None:
    """Consul's first byte says that TLS follows."""
    tls = cluster.keys.store_tls
    assert tls is not None
    foreign = identity.ensure(tmp_path / "foreign", "t", NODES, SERVERS).store_tls
    assert foreign is not None

    def served(ca: Path, cert: Path, key: Path, name: str = "server.dc1.consul") -> bool:
        program = [sys.executable, "-c", _RPC, SERVER, *map(str, (ca, cert, key)), name]
        return cluster.agents.run(program).returncode == 0

    assert served(tls.ca, tls.certs["docker04"], tls.keys["docker04"])
    assert not served(tls.ca, tls.certs["docker04"], tls.keys["docker04"], "docker04")
    assert not served(tls.ca, foreign.certs["docker01"], foreign.keys["docker01"])
    assert not served(foreign.ca, tls.certs["docker01"], tls.keys["docker01"])
    assert "server.dc1.consul" not in str(_names(tls.certs["docker04"]))
    plain = cluster.agents.run([sys.executable, "-c", _PLAIN_RPC, SERVER])
    assert plain.stdout.strip() == "b''", plain.stderr


def test_every_secret_is_rotated_while_the_agents_run(cluster: Cluster) -> None:
    """The store's data is kept, no agent restarts, and what was retired is refused."""
    ask, key = cluster.agents.call, "/v1/kv/docker/nodes/rotated"
    ask(SERVER, key, body="before")
    before = cluster.secrets()
    processes = {name: process.pid for name, process in cluster.agents._processes.items()}
    cluster.agents.stop_only("docker05")
    for _ in range(2):
        # Twice: no update had installed the first.
        identity.rotate_store(cluster.keys.client_key.parent, "t", NODES, SERVERS, authority=False)
    assert not set(before) & set(cluster.secrets())
    printed = cluster.ensure()
    assert set(printed.removeprefix("store access: ").split(", ")) == {
        "token of global-management",
        "token of lab-agents",
        "token of lab-engines",
        "gossip key",
    }
    assert ask(AGENT, f"{key}?raw") == (200, "before")
    accessor = next(one["accessor"] for one in cluster.wanted()["tokens"] if one["policy"] == "lab-engines")
    for name, config in _configs(cluster.keys, acl=True).items():
        cluster.agents.reload(name, config)
        address = NODES[name]
        cluster.agents.until(address, key, 200, body="while")
        deadline = time.monotonic() + 20
        while accessor not in ask(address, "/v1/acl/token/self")[1]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert cluster.ensure(cluster.wanted(prune=True)) == "store access: 3 retired tokens removed"
    assert cluster.ensure() == "store access: nothing to change"
    assert cluster.ensure(cluster.wanted(prune=True)) == "store access: nothing to change"
    for secret in before[1:]:
        assert ask(SERVER, "/v1/acl/token/self", "-H", f"X-Consul-Token: {secret}")[0] == 403
    for address in (SERVER, OTHER, AGENT):
        assert ask(address, key, body="after") == (200, "true")
    pools = json.loads(cluster.manage("/v1/operator/keyring")[1])
    assert [set(pool["Keys"]) for pool in pools] == [{cluster.wanted()["gossip_key"]}] * 2
    running = {name: process.pid for name, process in cluster.agents._processes.items() if process.poll() is None}
    assert running == {name: pid for name, pid in processes.items() if name != "docker05"}


def test_without_a_store_it_fails_with_what_it_last_saw(cluster: Cluster) -> None:
    wanted = cluster.wanted() | {"url": "http://127.0.0.9:8500", "limit_s": 0}
    done = cluster.agents.run([sys.executable, str(store_access.SCRIPT)], stdin=json.dumps(wanted))
    assert (done.returncode, done.stdout) == (1, "")
    assert "GET /v1/acl/token/self: <urlopen error [Errno 111] Connection refused>" in done.stderr
    assert not [secret for secret in cluster.secrets() if secret in done.stderr]
