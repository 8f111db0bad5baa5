"""The secrets by which a store with several servers knows its agents: access control lists, denied by default, and the
gossip key. What is retired is removed from the store.

dockerd 20.10 cannot send a token. So each agent, which listens on its node's loopback alone, has one for requests
without any: those of the engine, of the node's gates and checks, and of the commands that inspect the lab.
"""

from __future__ import annotations

import json
import shlex
import uuid
from pathlib import Path
from typing import Any

import pulumi

from components._base import Args, Component, Public
from components.config import conventions
from components.config.platform import StoreTokens
from components.docker_engine import DockerEngine
from components.node import scripts

SCRIPT = scripts.TEMPLATES / "ensure_store_access.py"
RELOAD_PENDING = "/var/lib/overlab/consul-reload"
"""Exists on a node from when its agent's secrets have changed until the agent uses the new ones."""
_END = "OVERLAB-END-OF-TOKENS"
POLICIES = {
    # An agent keeps its own node's entry; the names of nodes are no secret to the others.
    "lab-agents": 'node_prefix "" { policy = "write" }\nservice_prefix "" { policy = "read" }\n',
    # docker/ is libnetwork's and discovery's, with a session for each engine's key; overlab/ names the store's data.
    "lab-engines": (
        'key_prefix "docker/" { policy = "write" }\n'
        'key_prefix "overlab/" { policy = "write" }\n'
        'session_prefix "" { policy = "write" }\n'
        'node_prefix "" { policy = "read" }\n'
        'service_prefix "" { policy = "read" }\n'
        'agent_prefix "" { policy = "read" }\n'
    ),
}
_ACCESSORS = uuid.UUID("0e8f1c9a-5f0d-4f52-9a53-6d1f2a7c1001")


def accessor(policy: str, secret: str) -> str:
    """The name of a token, no secret itself: another secret has another one, so that both exist during a rotation."""
    return str(uuid.uuid5(_ACCESSORS, f"{policy} {secret}"))


def acl_tokens(tokens: StoreTokens, *, server: bool) -> dict[str, str]:
    """The part ``acl.tokens`` of an agent's configuration, as Consul 1.8 reads it. Holds secrets."""
    of_agent = {"agent": _read(tokens.agents), "default": _read(tokens.engines)}
    if server:
        # The name of it in Consul 1.8; later ones know it still. Servers make this token when they first have a leader.
        of_agent["master"] = _read(tokens.management)
    return of_agent


class StoreAccessArgs(Args):
    """Secrets of a store with several servers."""

    engine: Public[DockerEngine]
    """Of the first server."""
    engines: tuple[DockerEngine, ...]
    """All that have an agent."""
    gossip_key: Path
    tokens: StoreTokens | None
    agents: tuple[pulumi.Output[str], ...]
    """Ids of the agents' containers: it comes after them, and again after new ones."""
    generation: str
    """Changes with any secret of an agent; none itself."""


class StoreAccess(Component[StoreAccessArgs]):
    """The policies and tokens in the store, and its gossip key, written from its first server as soon as there is a
    leader. Then each agent reads those of its secrets that changed while it ran, and what none uses any more goes."""

    TOKEN = "overlab:index:StoreAccess"

    def __init__(self, name: str, args: StoreAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.configured = self._run("store-access", [], prune=False)
        reloaded = [self._reload(engine) for engine in args.engines]
        self._run("store-prune", reloaded, prune=True)
        self.register_outputs({})

    def _run(self, name: str, after: list[pulumi.Resource], *, prune: bool) -> pulumi.Resource:
        args = self.args
        document = json.dumps(wanted(args.gossip_key, args.tokens, len(args.engines), prune=prune), sort_keys=True)
        return args.engine.host.run(
            f"{args.engine.node}-{name}",
            # A here-document, since a command line is for all to see.
            pulumi.Output.secret(
                f"python3 -c {shlex.quote(SCRIPT.read_text('utf-8'))} <<'{_END}'\n{document}\n{_END}\n"
            ),
            self.child_options(depends_on=after),
            triggers=list(args.agents),
            limit_s=2 * conventions.STORE_LIMIT_S,
        )

    def _reload(self, engine: DockerEngine) -> pulumi.Resource:
        tokens = self.args.tokens
        return engine.host.run(
            f"{engine.node}-store-reload",
            scripts.render(
                "store-reload",
                generation=self.args.generation,
                pending=RELOAD_PENDING,
                port=conventions.CONSUL_HTTP_PORT,
                limit_s=conventions.STORE_LIMIT_S,
                accessor=accessor("lab-engines", _read(tokens.engines)) if tokens else "",
            ),
            self.child_options(depends_on=[self.configured]),
            limit_s=2 * conventions.STORE_LIMIT_S,
        )


def wanted(gossip_key: Path, tokens: StoreTokens | None, agents: int, *, prune: bool) -> dict[str, Any]:
    """What ``templates/ensure_store_access.py`` reads. Holds secrets."""
    found: dict[str, Any] = {
        "url": f"http://127.0.0.1:{conventions.CONSUL_HTTP_PORT}",
        "limit_s": conventions.STORE_LIMIT_S,
        "gossip_key": _read(gossip_key),
        "agents": agents,
        "prune": prune,
        "policies": {},
        "tokens": [],
        "management": [],
    }
    if tokens is None:
        return found
    management = _read(tokens.management)
    secrets = {"global-management": management}
    secrets |= {"lab-agents": _read(tokens.agents), "lab-engines": _read(tokens.engines)}
    return found | {
        "management": [management, *_read(tokens.retired).split()],
        "policies": POLICIES,
        "tokens": [
            {"accessor": accessor(policy, secret), "secret": secret, "policy": policy}
            for policy, secret in secrets.items()
        ],
    }


def _read(path: Path) -> str:
    return path.read_text("utf-8").strip()
