"""OpenSSH's ``ProxyCommand`` with ``ProxyUseFdpass``: connect from this network namespace and pass the socket.

``python proxy_command.py HOST PORT``: ssh receives the connected socket over standard output and continues alone.
"""

from __future__ import annotations

import socket
import sys

LIMIT_S = 30.0


def main(host: str, port: str) -> str | None:
    """Connect and pass the socket on; returns the error where that fails."""
    try:
        connection = socket.create_connection((host, int(port)), LIMIT_S)
    except OSError as error:
        return f"cannot connect to {host} port {port}: {error}"
    connection.settimeout(None)
    with socket.socket(fileno=1) as ssh:
        socket.send_fds(ssh, [b"\0"], [connection.fileno()])
        ssh.detach()
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
