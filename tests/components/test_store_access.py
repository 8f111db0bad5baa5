"""The store's access lists, against real Consul agents with the configuration that the lab's nodes get."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from components import store_access
from components.config.platform import Identity, StoreTokens
from components.store import agent_config
from overlab.platform import identity
from tests.components import consul
from tests.components.consul import Agents

pytestmark = pytest.mark.slow

SERVER, OTHER, AGENT, UNTRUSTED = (f"127.0.0.{n}" for n in (1, 2, 4, 5))
UNKNOWN = "X-Consul-Token: 11111111-2222-3333-4444-555555555555"
ANONYMOUS = "X-Consul-Token: anonymous"


@dataclass(frozen=True)
class Cluster:
    """Three servers and an agent, one a node of the lab; and one with the gossip key and no token."""

    agents: Agents
    tokens: StoreTokens

    def wanted(self) -> dict[str, Any]:
        return store_access.wanted(self.tokens) | {"url": f"http://{SERVER}:8500", "limit_s": 60}

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
        return [wanted["management"], *(token["secret"] for token in wanted["tokens"])]

    def manage(self, path: str, *options: str, body: str | None = None) -> tuple[int, str]:
        """As whoever has the management token."""
        header = f"X-Consul-Token: {self.wanted()['management']}"
        return self.agents.call(SERVER, path, "-H", header, *options, body=body)


def _keys(directory: Path) -> Identity:
    nodes = {f"docker0{n}": f"127.0.0.{n}" for n in (1, 2, 3, 4)}
    return identity.ensure(directory / "identity", "t", nodes)


def _configs(keys: Identity, *, acl: bool) -> dict[str, dict[str, Any]]:
    """Of three servers and an agent, each at an address of loopback."""
    servers = tuple(IPv4Address(f"127.0.0.{n}") for n in (1, 2, 3))
    tokens = keys.store_tokens if acl else None
    found = {
        n: agent_config(f"docker0{n}", IPv4Address(f"127.0.0.{n}"), servers, keys.gossip_key, tokens)
        for n in (1, 2, 3, 4)
    }
    return {f"docker0{n}": dict(config) for n, config in found.items()}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("consul")
    keys = _keys(directory)
    assert keys.store_tokens is not None
    with consul.network(directory) as agents:
        configs = _configs(keys, acl=True)
        acl = {key: value for key, value in configs["docker04"]["acl"].items() if key != "tokens"}
        configs["docker05"] = configs["docker04"] | {"node_name": "untrusted", "acl": acl}
        for key, config in configs.items():
            agents.start(key, config | {"bind_addr": f"127.0.0.{key[-1]}"})
        found = Cluster(agents, keys.store_tokens)
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
    assert keys.store_tokens is not None
    with consul.network(tmp_path) as agents:
        for acl, foreign in ((False, 200), (True, 403), (False, 200)):
            for name, config in _configs(keys, acl=acl).items():
                if config.get("server"):
                    agents.start(name, config)
            if acl:
                Cluster(agents, keys.store_tokens).ensure()
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
    accessor = store_access.ACCESSORS["lab-engines"]
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


def test_a_token_of_other_keys_is_replaced(cluster: Cluster) -> None:
    """The store's data may be older than the lab's keys."""
    wanted = cluster.wanted()
    wanted["tokens"][0] |= {"secret": "99999999-2222-3333-4444-555555555555"}
    assert cluster.ensure(wanted) == "store access: token of lab-agents"
    assert cluster.ensure() == "store access: token of lab-agents"


def test_without_a_store_it_fails_with_what_it_last_saw(cluster: Cluster) -> None:
    wanted = cluster.wanted() | {"url": "http://127.0.0.9:8500", "limit_s": 0}
    done = cluster.agents.run([sys.executable, str(store_access.SCRIPT)], stdin=json.dumps(wanted))
    assert (done.returncode, done.stdout) == (1, "")
    assert "GET /v1/acl/token/self: <urlopen error [Errno 111] Connection refused>" in done.stderr
    assert not [secret for secret in cluster.secrets() if secret in done.stderr]
