"""The checks of the hypervisor's end: fetches each URL, prints one record a check. Standard library only.

Reads a JSON list of checks on standard input; exit code 1, and what failed on standard error, if one did.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

RECORD = "overlab-check"


def fetch(url: str) -> tuple[bool, str]:
    """(passed, what was seen)."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as response:
            return True, response.read(2000).decode(errors="replace")
    except (OSError, ValueError) as error:
        return False, str(error)


def run(check: dict[str, Any]) -> bool:
    """One check, tried until it passes or its time is over; True if it found what it expects."""
    start = time.monotonic()
    while True:
        passed, seen = fetch(check["url"])
        spent = int(time.monotonic() - start)
        if passed or check["expect"] == "fail" or spent >= check["timeout_s"]:
            break
        time.sleep(1)
    got = "pass" if passed else "fail"
    text = " ".join(seen.split())[:600]
    fields = [check["id"], check["kind"], check["title"], check["expect"], got, str(spent), f"GET {check['url']}", text]
    print("\t".join([RECORD, *fields]), flush=True)
    if got != check["expect"]:
        expected = f"expected {check['expect']}, got {got} after {spent} s"
        print(f"check failed: {check['title']} (on the platform): {expected}", file=sys.stderr)
        print(f"  ran:    GET {check['url']}\n  output: {text}", file=sys.stderr)
    return bool(got == check["expect"])


results = [run(check) for check in json.load(sys.stdin)]
sys.exit(0 if all(results) else 1)
