"""Creates or updates the store's policies and tokens, and its gossip key; idempotent. Standard library of Python 3.9.

Reads a JSON object on standard input: ``url`` of an agent, ``limit_s``, the ``management`` tokens (the wanted one, then
those of which the store may know one), ``policies`` (name -> rules), ``tokens`` (``accessor``, ``secret``,
``policy``), ``gossip_key``, ``agents`` (how many there are), and ``prune``: whether to remove the lab's other tokens.
Prints what it did, without secrets; exit code 1, and what it waited for, when the limit is over.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

CALL_LIMIT_S = 10
PAUSE_S = 1.0


class NotReady(Exception):
    """Something that may pass: no leader, an access list that is not ready."""


class ConsulClient:
    """Consul's HTTP API with a token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer; None where Consul knows no such thing. Raises NotReady for every other refusal."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Consul-Token": self._token} if self._token else {}
        request = urllib.request.Request(f"{self._url}{path}", data, headers, method=method)
        try:
            with self._opener.open(request, timeout=CALL_LIMIT_S) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace").strip()[:200]
            # A token that does not exist is, when asked for by its accessor, "ACL not found" with 403.
            if error.code == 404 or (method == "GET" and path != SELF and "ACL not found" in text):
                return None
            raise NotReady(f"{method} {path}: {error.code} {text}") from None
        except (OSError, ValueError) as error:
            raise NotReady(f"{method} {path}: {error}") from None


SELF = "/v1/acl/token/self"
KEYRING = "/v1/operator/keyring"
MASTER = ("Master Token", "Initial Management Token")
"""Consul's own descriptions of the management token that its servers create at first."""


def ensure_policy(store: ConsulClient, name: str, rules: str) -> bool:
    """Whether it had to be created or changed."""
    known = {policy["Name"]: policy["ID"] for policy in store.call("GET", "/v1/acl/policies") or ()}
    if name not in known:
        store.call("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
        return True
    path = f"/v1/acl/policy/{known[name]}"
    if store.call("GET", path)["Rules"] == rules:
        return False
    store.call("PUT", path, {"ID": known[name], "Name": name, "Rules": rules})
    return True


def ensure_token(store: ConsulClient, token: dict[str, str]) -> bool:
    """Whether it had to be created or changed."""
    path = f"/v1/acl/token/{token['accessor']}"
    wanted = {"AccessorID": token["accessor"], "SecretID": token["secret"], "Description": token["policy"]}
    wanted["Policies"] = [{"Name": token["policy"]}]  # type: ignore[assignment]  # the one value that is no text
    found = store.call("GET", path)
    if not found:
        store.call("PUT", "/v1/acl/token", wanted)
        return True
    if [policy["Name"] for policy in found.get("Policies") or ()] == [token["policy"]]:
        return False
    store.call("PUT", path, wanted)
    return True


def knows(url: str, secret: str) -> bool:
    """Whether the store knows this token. Raises NotReady where it cannot tell."""
    try:
        ConsulClient(url, secret).call("GET", SELF)
    except NotReady as error:
        if "ACL not found" in str(error):
            return False
        raise
    return True


def manager(wanted: dict[str, Any]) -> ConsulClient:
    """With the first management token that the store knows. Raises NotReady."""
    secrets = wanted["management"]
    found = next((secret for secret in secrets if knows(wanted["url"], secret)), None) if secrets else ""
    if found is None:
        raise NotReady("the store knows no management token of this lab")
    return ConsulClient(wanted["url"], found)


def ensure_tokens(wanted: dict[str, Any]) -> list[str]:
    """Names of what was created or changed. Raises NotReady."""
    store = manager(wanted)
    changed = [name for name, rules in wanted["policies"].items() if ensure_policy(store, name, rules)]
    for token in wanted["tokens"]:
        # Servers create the first management token themselves, with a name of their choice.
        if token["secret"] == wanted["management"][0] and knows(wanted["url"], token["secret"]):
            continue
        if ensure_token(store, token):
            changed.append(f"token of {token['policy']}")
        ConsulClient(wanted["url"], token["secret"]).call("GET", SELF)
    return changed


def prune(store: ConsulClient, wanted: dict[str, Any]) -> list[str]:
    """Remove the lab's tokens that are not wanted any more; their number in words."""
    kept = {token["accessor"]: token["secret"] for token in wanted["tokens"]}
    ours = {*MASTER, *(token["policy"] for token in wanted["tokens"])}
    removed = 0
    for one in store.call("GET", "/v1/acl/tokens") or ():
        if one["Description"] not in ours or one["AccessorID"] in kept:
            continue
        path = f"/v1/acl/token/{one['AccessorID']}"
        if (store.call("GET", path) or {}).get("SecretID") not in kept.values():
            store.call("DELETE", path)
            removed += 1
    return [f"{removed} retired tokens removed"] if removed else []


def ensure_gossip_key(store: ConsulClient, key: str, agents: int) -> bool:
    """Whether another key was in use, or known. Raises NotReady until every agent has this one.

    Agents keep the key that they first started with. All have the new one before any uses it, and use it before the
    others are removed.
    """

    def lacking(pools: Any) -> bool:
        return any(pool["Keys"].get(key) != pool["NumNodes"] for pool in pools)

    pools = store.call("GET", KEYRING)
    if all(set(pool["Keys"]) == {key} for pool in pools):
        return False
    if lacking(pools):
        store.call("POST", KEYRING, {"Key": key})
        pools = store.call("GET", KEYRING)
    answered = max(pool["Keys"].get(key, 0) for pool in pools)
    if lacking(pools) or answered < agents:
        raise NotReady(f"{answered} of {agents} agents have the new gossip key")
    store.call("PUT", KEYRING, {"Key": key})
    for other in {one for pool in pools for one in pool["Keys"]} - {key}:
        store.call("DELETE", KEYRING, {"Key": other})
    return True


def ensure(wanted: dict[str, Any]) -> list[str]:
    """Names of what was created, changed or removed. Raises NotReady."""
    changed = ensure_tokens(wanted)
    store = ConsulClient(wanted["url"], (wanted["management"] or [""])[0])
    if wanted["prune"]:
        return changed + (prune(store, wanted) if wanted["tokens"] else [])
    if ensure_gossip_key(store, wanted["gossip_key"], wanted["agents"]):
        changed.append("gossip key")
    return changed


def main() -> int:
    wanted = json.load(sys.stdin)
    begun = time.monotonic()
    changed: list[str] = []
    while True:
        try:
            changed += ensure(wanted)
            break
        except NotReady as error:
            spent = time.monotonic() - begun
            if spent >= wanted["limit_s"]:
                limit = f"{spent:.0f}/{wanted['limit_s']} s"
                print(f"the store's tokens could not be created within {limit}; last seen: {error}", file=sys.stderr)
                return 1
            time.sleep(PAUSE_S)
    print(f"store access: {', '.join(changed) or 'nothing to change'}", file=sys.stderr)
    print(json.dumps({"policies": sorted(wanted["policies"])}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
