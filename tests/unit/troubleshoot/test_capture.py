"""A pcap file of a workload, a network or a node, decapsulated or not, and nothing that stays on a node."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlab.core.errors import OverlabError
from overlab.troubleshoot import capture, why
from tests.unit.troubleshoot.overlay_nodes import NEEDS, VNI, OverlayNodes, overlay_nodes

pytestmark = NEEDS


@pytest.fixture(scope="module")
def nodes() -> Iterator[OverlayNodes]:
    with overlay_nodes() as made:
        yield made


def _frames(file: bytes) -> list[bytes]:
    assert struct.unpack_from("!IHH", file) == (0xA1B2C3D4, 2, 4)
    frames, at = [], 24
    while at < len(file):
        length = struct.unpack_from("!I", file, at + 8)[0]
        frames.append(file[at + 16 : at + 16 + length])
        at += 16 + length
    return frames


def _is_echo(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x00" and frame[23] == 1


def _is_vxlan(frame: bytes) -> bool:
    port, vni = struct.unpack_from("!H", frame, 36)[0], struct.unpack_from("!I", frame, 46)[0] >> 8
    return frame[12:14] == b"\x08\x00" and frame[23] == 17 and (port, vni) == (4789, VNI)


def _processes() -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [one for one in found if "class Capture" in one]


@pytest.mark.parametrize(
    ("what", "encapsulated", "on"),
    [
        ("ta", False, ["a"]),
        ("ta", True, ["a"]),
        ("ov", False, ["a", "b"]),
        ("ov", True, ["a", "b"]),
        ("b", False, ["b"]),
    ],
)
def test_what_is_captured(nodes: OverlayNodes, what: str, encapsulated: bool, on: list[str]) -> None:
    wanted = capture.tasks(nodes.take_snapshot(), what, encapsulated=encapsulated)
    assert list(wanted) == on
    file = io.BytesIO()
    sender = threading.Timer(0.7, lambda: why.ask(nodes, "ta", "10.0.9.3"))
    sender.start()
    count = capture.run(nodes, wanted, file, 3)
    sender.join()
    frames = _frames(file.getvalue())
    assert len(frames) == count
    wanted_frames = [frame for frame in frames if (_is_vxlan(frame) if encapsulated else _is_echo(frame))]
    assert len(wanted_frames) >= 6
    if encapsulated:
        assert wanted_frames == frames
    assert _processes() == []


def test_a_reader_that_goes_away_ends_it(nodes: OverlayNodes) -> None:
    class Closed(io.BytesIO):
        def flush(self) -> None:
            raise BrokenPipeError

    wanted = capture.tasks(nodes.take_snapshot(), "ta", encapsulated=False)
    assert capture.run(nodes, wanted, Closed(), None) == 0
    assert _processes() == []


def test_a_node_that_cannot_capture_says_why(nodes: OverlayNodes) -> None:
    with pytest.raises(OverlabError, match=r"a: .*No such device"):
        capture.run(nodes, {"a": capture.Task([("", "none0")])}, io.BytesIO(), 5)


def test_what_is_nowhere_is_refused(nodes: OverlayNodes) -> None:
    with pytest.raises(OverlabError, match="no workload other is on an overlay network"):
        capture.tasks(nodes.take_snapshot(), "other", encapsulated=False)
