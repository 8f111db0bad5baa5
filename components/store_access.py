"""The store's access control lists, denied by default. Only for a store with several servers.

dockerd 20.10 cannot send a token. So each agent, which listens on its node's loopback alone, has one for requests
without any: those of the engine, of the node's gates and checks, and of the commands that inspect the lab.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pulumi

from components._base import Args, Component, Public
from components.config import conventions
from components.config.platform import StoreTokens
from components.docker_engine import DockerEngine
from components.node import scripts

SCRIPT = scripts.TEMPLATES / "ensure_store_access.py"
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
ACCESSORS = {
    "lab-agents": "0e8f1c9a-5f0d-4f52-9a53-6d1f2a7c1001",
    "lab-engines": "0e8f1c9a-5f0d-4f52-9a53-6d1f2a7c1002",
}
"""Names of the tokens, no secrets."""


def acl_config(tokens: StoreTokens, *, server: bool) -> dict[str, Any]:
    """The part ``acl`` of an agent's configuration, as Consul 1.8 reads it. Holds secrets."""
    of_agent = {"agent": _read(tokens.agents), "default": _read(tokens.engines)}
    if server:
        # The name of it in Consul 1.8; later ones know it still. Servers make this token when they first have a leader.
        of_agent["master"] = _read(tokens.management)
    return {"enabled": True, "default_policy": "deny", "enable_token_persistence": False, "tokens": of_agent}


class StoreAccessArgs(Args):
    """Access lists of a store with several servers."""

    engine: Public[DockerEngine]
    """Of the first server."""
    tokens: StoreTokens
    agents: tuple[pulumi.Output[str], ...]
    """Ids of the agents' containers: it comes after them, and again after new ones."""


class StoreAccess(Component[StoreAccessArgs]):
    """The policies and tokens in the store, written from its first server as soon as there is a leader."""

    TOKEN = "overlab:index:StoreAccess"

    def __init__(self, name: str, args: StoreAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        document = json.dumps(wanted(args.tokens), sort_keys=True)
        self.configured = args.engine.host.run(
            f"{args.engine.node}-store-access",
            # A here-document, since a command line is for all to see.
            pulumi.Output.secret(
                f"python3 -c {shlex.quote(SCRIPT.read_text('utf-8'))} <<'{_END}'\n{document}\n{_END}\n"
            ),
            self.child_options(),
            triggers=list(args.agents),
            limit_s=2 * conventions.STORE_LIMIT_S,
        )
        self.register_outputs({})


def wanted(tokens: StoreTokens) -> dict[str, Any]:
    """What ``templates/ensure_store_access.py`` reads. Holds secrets."""
    secrets = {"lab-agents": _read(tokens.agents), "lab-engines": _read(tokens.engines)}
    return {
        "url": f"http://127.0.0.1:{conventions.CONSUL_HTTP_PORT}",
        "limit_s": conventions.STORE_LIMIT_S,
        "management": _read(tokens.management),
        "policies": POLICIES,
        "tokens": [
            {"accessor": ACCESSORS[policy], "secret": secret, "policy": policy} for policy, secret in secrets.items()
        ],
    }


def _read(path: Path) -> str:
    return path.read_text("utf-8").strip()
