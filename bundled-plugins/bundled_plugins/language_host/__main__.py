"""Entry point of ``pulumi-language-python``: ``python -m bundled_plugins.language_host [FLAG...] ENGINE_ADDRESS``."""

from __future__ import annotations

import sys
from typing import NoReturn

from pulumi.runtime.proto import language_pb2_grpc

from bundled_plugins.language_host.server import LanguageHost
from bundled_plugins.runtime.serving import STOP_GRACE_S, engine_address, serve


def main() -> NoReturn:
    """Serve one engine until it is gone."""
    host = LanguageHost(engine_address(sys.argv) or "")
    serve(
        lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server),
        on_stop=lambda: host.stop(STOP_GRACE_S),
    )


if __name__ == "__main__":
    main()
