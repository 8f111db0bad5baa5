"""Who may do what in the store: its access control lists, denied by default. Only for a store in cluster mode.

dockerd 20.10 cannot send a token. So each agent, which listens on its node's loopback alone, has one for whoever asks
without: the engine, the node's gates and checks, and the looking commands.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pulumi

from components._base import Component
from components.config import conventions
from components.config.docker_names import store_address
from components.config.platform import Platform, StoreTokens
from components.config.settings import Settings
from components.docker_engine import DockerEngine
from components.node import scripts

SCRIPT = scripts.TEMPLATES / "store_access.py"
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


def acl_config(key: str, settings: Settings, platform: Platform) -> dict[str, Any]:
    """The part ``acl`` of an agent's configuration on the node ``key``, as Consul 1.8 reads it. Holds secrets."""
    tokens = _tokens(platform)
    of_agent = {"agent": _read(tokens.agents), "default": _read(tokens.engines)}
    if key in settings.store_nodes:
        # The name of it in Consul 1.8; later ones know it still. Servers make this token when they first have a leader.
        of_agent["master"] = _read(tokens.management)
    return {"enabled": True, "default_policy": "deny", "enable_token_persistence": False, "tokens": of_agent}


class StoreAccess(Component):
    """The policies and tokens in the store, made from its first server as soon as there is a leader."""

    TOKEN = "overlab:index:StoreAccess"

    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        engine: DockerEngine,
        agents: list[pulumi.Output[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("store-access", opts)
        self.made = engine.host.run(
            f"{engine.machine.node.key}-store-access",
            f"exec python3 -c {shlex.quote(SCRIPT.read_text('utf-8'))}",
            self.child(),
            # Ids of the agents' containers: it comes after them, and again after new ones.
            triggers=agents,
            stdin=pulumi.Output.secret(json.dumps(wanted(settings, platform), sort_keys=True)),
            limit_s=2 * conventions.STORE_LIMIT_S,
        )
        self.register_outputs({})


def wanted(settings: Settings, platform: Platform) -> dict[str, Any]:
    """What ``templates/store_access.py`` reads. Holds secrets."""
    tokens = _tokens(platform)
    secrets = {"lab-agents": _read(tokens.agents), "lab-engines": _read(tokens.engines)}
    return {
        "url": f"http://{store_address(settings.store_addresses)}",
        "limit_s": conventions.STORE_LIMIT_S,
        "management": _read(tokens.management),
        "policies": POLICIES,
        "tokens": [
            {"accessor": ACCESSORS[policy], "secret": secret, "policy": policy} for policy, secret in secrets.items()
        ],
    }


def _tokens(platform: Platform) -> StoreTokens:
    if platform.identity.store_tokens is None:
        raise pulumi.RunError("lab.store.acl is on, and the platform record has no tokens: run 'overlab up'")
    return platform.identity.store_tokens


def _read(path: Path) -> str:
    return path.read_text("utf-8").strip()
