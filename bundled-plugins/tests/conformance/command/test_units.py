"""The parts of the command plugin that need no process."""

from __future__ import annotations

import json
import threading
import time

import pytest
from bundled_plugins.command.masking import MASK, Mask
from bundled_plugins.command.output import Capture, Display, _Lines, go_quote
from bundled_plugins.command.stopping import Stop
from bundled_plugins.runtime.errors import Cancelled, ProviderError
from bundled_plugins.runtime.values import Secret
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.bundled_only("internals")


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain äö", '"plain äö"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\x00\x1b\x7f", '"\\x00\\x1b\\x7f"'),
        ("\u200b\U000e0001", '"\\u200b\\U000e0001"'),
    ],
)
def test_quotes_like_go(text: str, quoted: str) -> None:
    assert go_quote(text) == quoted


@given(st.text(st.characters(max_codepoint=126, min_codepoint=32)))
def test_a_quoted_printable_text_reads_back(text: str) -> None:
    assert json.loads(go_quote(text)) == text


@given(st.lists(st.binary(max_size=8)))
def test_lines_do_not_depend_on_how_the_bytes_arrive(chunks: list[bytes]) -> None:
    data = b"".join(chunks)
    whole, parts = _Lines(), _Lines()
    expected = [*whole.feed(data), whole.rest()]
    found = [line for chunk in chunks for line in parts.feed(chunk)]
    assert [*found, parts.rest()] == expected
    assert "\n".join(expected) == data.decode("utf-8", "replace")


def test_a_capture_keeps_the_order_of_both_streams() -> None:
    capture = Capture()
    for stream, data in (("stdout", b"a\n"), ("stderr", b"b\n"), ("stdout", b"c\n\n")):
        capture.feed(stream, data)  # type: ignore[arg-type]
    assert (capture.stdout, capture.stderr, capture.quoted()) == ("a\nc\n", "b", "a\nb\nc\n\n")


def test_a_display_whose_engine_is_slow_does_not_hold_up_the_command() -> None:
    over = threading.Event()

    def log(_severity: str, _text: str, _ephemeral: bool) -> None:
        over.wait(60)

    display = Display(log, Mask({}), "stdout")
    started = time.monotonic()
    display.feed("stdout", b"line\n" * 100_000)
    display.close()
    assert time.monotonic() - started < 20
    over.set()


def test_a_mask_covers_secrets_their_lines_and_credentials_and_nothing_else() -> None:
    mask = Mask(
        {
            "environment": {"A": Secret("alpha"), "B": "beta"},
            "list": [Secret(["gamma gamma\nend"])],
            "short": Secret("ab"),
            "connection": Secret({"host": "host1", "privateKey": Secret("key1"), "privateKeyPassword": "pass1"}),
        }
    )
    shown = mask("alpha beta gamma gamma end ab host1 key1 pass1")
    assert shown == f"{MASK} beta {MASK} end ab host1 {MASK} {MASK}"


def test_a_longer_secret_is_masked_before_a_part_of_it() -> None:
    assert Mask({"a": Secret("abc"), "b": Secret("abcdef")})("abcdef") == MASK


def test_a_stop_turns_the_error_it_provokes_into_its_reason() -> None:
    def operation() -> None:
        with Stop() as stop:
            stop.fire("context canceled")
            raise ProviderError("broken pipe")

    with pytest.raises(Cancelled, match="context canceled: broken pipe"):
        operation()


def test_a_stop_that_did_not_fire_leaves_errors_alone() -> None:
    with pytest.raises(ProviderError, match=r"^broken pipe$"), Stop(60):
        raise ProviderError("broken pipe")


def test_nothing_begins_after_the_stop() -> None:
    closed: list[str] = []
    stop = Stop()
    with stop.closing(lambda: closed.append("running")):
        stop.fire("context canceled")
        stop.fire("later")
    assert closed == ["running"]
    with pytest.raises(Cancelled, match=r"^context canceled$"), stop.closing(lambda: closed.append("late")):
        pass
    assert closed == ["running"]
