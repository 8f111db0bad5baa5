"""Stands for a bundled plugin: prints its arguments and ends with status 7."""

from __future__ import annotations

import sys


def main() -> int:
    print(" ".join(sys.argv[1:]))
    return 7
