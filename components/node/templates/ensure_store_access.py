"""Creates or updates the store's policies and tokens; idempotent. Standard library of Python 3.9.

Reads a JSON object on standard input: ``url`` of an agent, ``limit_s``, the ``management`` token, ``policies`` (name ->
rules) and ``tokens`` (``accessor``, ``secret``, ``policy``). Prints what it did, without secrets; exit code 1, and what
it waited for, when the limit is over.
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
        request = urllib.request.Request(f"{self._url}{path}", data, {"X-Consul-Token": self._token}, method=method)
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
    if found and found["SecretID"] != token["secret"]:
        # Of another lab's keys, kept in the store's data; a secret cannot be changed.
        store.call("DELETE", path)
        found = None
    if not found:
        store.call("PUT", "/v1/acl/token", wanted)
        return True
    if [policy["Name"] for policy in found.get("Policies") or ()] == [token["policy"]]:
        return False
    store.call("PUT", path, wanted)
    return True


def ensure(wanted: dict[str, Any]) -> list[str]:
    """Names of what was created or changed. Raises NotReady."""
    store = ConsulClient(wanted["url"], wanted["management"])
    store.call("GET", SELF)
    changed = [name for name, rules in wanted["policies"].items() if ensure_policy(store, name, rules)]
    changed += [f"token of {token['policy']}" for token in wanted["tokens"] if ensure_token(store, token)]
    for token in wanted["tokens"]:
        ConsulClient(wanted["url"], token["secret"]).call("GET", SELF)
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
