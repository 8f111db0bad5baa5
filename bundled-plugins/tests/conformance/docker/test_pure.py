"""What needs no daemon: durations, decimal texts, the comparison of ports."""

from __future__ import annotations

import pytest
from bundled_plugins.docker.client import DEFAULT_LIMIT_S, Api, Target
from bundled_plugins.docker.container_inputs import same_ports
from bundled_plugins.docker.container_read import decimal_text
from bundled_plugins.docker.durations import format_duration, parse_duration
from bundled_plugins.docker.images import repo_digest

pytestmark = pytest.mark.bundled_only("internals")


@pytest.mark.parametrize(
    ("text", "nanoseconds", "printed"),
    [
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
        ("30s", 30_000_000_000, "30s"),
        ("1m", 60_000_000_000, "1m0s"),
        ("1h", 3_600_000_000_000, "1h0m0s"),
        ("1h2m3.5s", 3_723_500_000_000, "1h2m3.5s"),
        ("1.5h", 5_400_000_000_000, "1h30m0s"),
        ("250ms", 250_000_000, "250ms"),
        ("1500us", 1_500_000, "1.5ms"),
        ("7ns", 7, "7ns"),
        ("2µs", 2_000, "2µs"),
        ("90m", 5_400_000_000_000, "1h30m0s"),
    ],
)
def test_durations_are_read_and_printed_as_go_does(text: str, nanoseconds: int, printed: str) -> None:
    assert parse_duration(text) == nanoseconds
    assert format_duration(nanoseconds) == printed


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "1h x", "-1s", "1,5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("nano", "text"), [(500_000_000, "0.5"), (1_000_000_000, "1.0"), (1_250_000_000, "1.25"), (10_000_000_000, "10.")]
)
def test_cpus_are_printed_as_the_official_provider_does(nano: int, text: str) -> None:
    assert decimal_text(nano) == text


def test_slow_guests_get_all_the_time_that_an_operation_has() -> None:
    assert Api(Target("ssh://slow")).timeout == DEFAULT_LIMIT_S
    assert Api(Target("tcp://192.0.2.1:2375")).timeout == DEFAULT_LIMIT_S


@pytest.mark.parametrize(
    ("digests", "reported"),
    [
        ([], ""),
        (["other@sha256:1"], "other@sha256:1"),
        (["mirror/web@sha256:1", "web@sha256:2"], "web@sha256:2"),
        (["a@sha256:1", "b@sha256:2"], "a@sha256:1"),
    ],
)
def test_digest_of_the_images_own_repository_is_reported(digests: list[str], reported: str) -> None:
    assert repo_digest("web:1.0", digests) == reported


WEB = {"internal": 80, "external": 8080, "ip": "0.0.0.0", "protocol": "tcp"}
OTHER = WEB | {"internal": 81, "external": 8081}


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ([WEB], [{"internal": 80}], True),
        ([WEB], [{"internal": 80, "external": 8080, "ip": "", "protocol": "tcp"}], True),
        ([WEB], [{"internal": 80, "external": 8081}], False),
        ([WEB], [{"internal": 80, "protocol": "udp"}], False),
        ([WEB], [{"internal": 80, "ip": "127.0.0.1"}], False),
        ([WEB, OTHER], [OTHER, WEB], True),
        ([WEB, OTHER], [{"internal": 80}, {"internal": 81}], True),
        ([WEB, OTHER], [{"internal": 81}, {"internal": 80}], False),
        ([WEB, OTHER], [OTHER, {"internal": 80}], False),
        ([WEB, WEB | {"protocol": "udp"}], [WEB | {"protocol": "udp"}, WEB], False),
        ([WEB], [WEB, WEB], False),
        ([], [WEB], False),
        (None, [WEB], False),
    ],
)
def test_ports_are_compared_as_the_official_provider_does(old: object, new: object, same: bool) -> None:
    assert same_ports(old, new) is same
