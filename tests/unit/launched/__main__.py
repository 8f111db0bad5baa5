"""Stands for a bundled plugin: says its arguments."""

from __future__ import annotations

import sys


def main() -> int:
    print(" ".join(sys.argv[1:]))
    return 7
