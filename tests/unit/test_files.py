"""Files that other processes write to or read."""

from __future__ import annotations

from pathlib import Path

from overlab.core.files import bound_log


def test_a_log_beyond_its_limit_keeps_its_end_and_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a" * 70 + b"b" * 10)
        bound_log(log, limit=80)
        assert log.stat().st_size == 80
        writer.write(b"c")
        bound_log(log, limit=80)
        writer.write(b"d")
    assert log.read_bytes() == b"b" * 9 + b"cd"
    bound_log(tmp_path / "none.log")
