"""The commands of ``overlab-store``, the same for each kind of store. Standard library of Python 3.9."""

from __future__ import annotations

import base64
import json
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.node.store_clients.consul import ENDPOINTS, Client

USAGE = """overlab-store report|gate|keys|values|delete ... - asks the lab's cluster store, the same way for each kind.

report PREFIX...  one JSON object: version, leader (empty without one), peers, keys (key -> value in base64)
gate              one line: the leader, the id of the store's data (made if there is none), the engines' keys
keys PREFIX       the keys below it, a line each
values PREFIX     KEY VALUE, a line each, values in base64
delete KEY

Exit code 1, with the reason, where the store does not answer.
"""
LIMIT_S = 5.0
"""For each answer."""
EPOCH = "overlab/epoch"
"""Names the store's data: a store that lost them has another one."""


def report(client: Client, prefixes: list[str]) -> dict[str, Any]:
    leader = client.leader()
    if not leader:
        return {"version": "", "leader": "", "peers": [], "keys": {}}
    keys = {key: base64.b64encode(value).decode() for prefix in prefixes for key, value in client.tree(prefix).items()}
    return {"version": client.version(), "leader": leader, "peers": client.peers(), "keys": keys}


def gate(client: Client) -> str:
    leader = client.leader()
    if not leader:
        raise RuntimeError("it has no leader")
    if not client.tree(EPOCH):
        client.create(EPOCH, str(uuid.uuid4()))
    return " ".join([leader, client.tree(EPOCH)[EPOCH].decode(), *client.tree("docker/nodes")])


def main(command: str, arguments: list[str]) -> Iterator[str]:
    client = Client(ENDPOINTS, LIMIT_S)
    if command == "report":
        yield json.dumps(report(client, arguments))
    elif command == "gate":
        yield gate(client)
    elif command == "keys":
        yield from client.tree(arguments[0])
    elif command == "values":
        yield from (f"{key} {base64.b64encode(value).decode()}" for key, value in client.tree(arguments[0]).items())
    elif command == "delete":
        client.delete(arguments[0])
    else:
        raise SystemExit(USAGE)


if __name__ == "__main__":
    try:
        print("\n".join(main((sys.argv[1:] or [""])[0], sys.argv[2:])))
    except (OSError, LookupError, RuntimeError, ValueError) as failure:
        reason = getattr(failure, "reason", failure)
        raise SystemExit(
            f"no answer from the store at {', '.join(ENDPOINTS)}: {type(reason).__name__}: {reason}"
        ) from None
