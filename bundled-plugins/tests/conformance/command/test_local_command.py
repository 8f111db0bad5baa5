"""``command:local:Command`` as the engine drives it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from bundled_plugins.runtime.values import Secret

from conformance.command.conftest import LOCAL, messages
from conformance.harness import CallFailed, Provider, running, until


def test_outputs_are_the_inputs_and_both_streams_without_one_newline(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "plain")
    inputs = {"create": "printf 'a\\n\\n'; printf 'b\\n' >&2"}

    assert resource.up(inputs) == "create"

    assert resource.outputs == inputs | {"stdout": "a\n", "stderr": "b"}
    assert resource.id.startswith("plain")
    assert len(resource.id) == len("plain") + 8


def test_a_second_up_runs_nothing(plugin: Provider, tmp_path: Path) -> None:
    resource = plugin.resource(LOCAL, "twice")
    inputs = {"create": f"echo x >> {tmp_path}/runs"}
    resource.up(inputs)

    assert resource.up(inputs) == "same"
    assert resource.refresh()
    assert resource.up(inputs) == "same"
    assert (tmp_path / "runs").read_text() == "x\n"


def test_update_runs_update_or_else_create(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "updated")
    resource.up({"create": "echo made"})

    assert resource.up({"create": "echo made", "logging": "none"}) == "update"
    assert resource["stdout"] == "made"
    assert resource.up({"create": "echo made", "update": "echo changed"}) == "update"
    assert resource["stdout"] == "changed"


def test_delete_runs_what_the_state_holds(plugin: Provider, tmp_path: Path) -> None:
    resource = plugin.resource(LOCAL, "deleted")
    resource.up(
        {"create": "echo made", "delete": f"echo $PULUMI_COMMAND_STDOUT > {tmp_path}/gone", "dir": str(tmp_path)}
    )

    resource.destroy()

    assert (tmp_path / "gone").read_text() == "made\n"


def test_without_commands_nothing_runs_and_the_resource_exists(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "empty")

    resource.up({"triggers": [1]})
    assert resource.outputs == {"triggers": [1], "stdout": "", "stderr": ""}
    resource.destroy()
    assert resource.id == ""


def test_a_changed_trigger_replaces_creating_first(plugin: Provider, tmp_path: Path) -> None:
    resource = plugin.resource(LOCAL, "triggered")
    log = tmp_path / "log"
    inputs = {"create": f"echo create >> {log}", "delete": f"echo delete >> {log}"}
    resource.up(inputs | {"triggers": ["a", {"b": 1}]})

    assert resource.up(inputs | {"triggers": ["a", {"b": 2}]}) == "replace"
    assert resource.last_diff is not None
    assert resource.last_diff.paths == {"triggers[1].b": "UPDATE_REPLACE"}
    assert resource.last_diff.replaces == ["triggers"]
    assert log.read_text() == "create\ncreate\ndelete\n"
    assert resource.up(inputs) == "replace"


def test_the_previous_output_is_in_the_environment_of_update_and_delete_only(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "previous")
    show = "echo out:${PULUMI_COMMAND_STDOUT-unset} err:${PULUMI_COMMAND_STDERR-unset}"
    resource.up({"create": show})
    assert resource["stdout"] == "out:unset err:unset"

    resource.up({"create": show, "environment": {"A": "1"}})
    assert resource["stdout"] == "out:out:unset err:unset err:unset"

    resource.up({"create": show, "addPreviousOutputInEnv": False})
    assert resource["stdout"] == "out:unset err:unset"


@pytest.mark.bundled_only("output")
def test_a_previous_output_too_long_for_a_variable_is_left_out_with_a_warning(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "long")
    resource.up({"create": "head -c 140000 /dev/zero | tr '\\0' x", "logging": "none"})

    resource.up({"create": "echo ${PULUMI_COMMAND_STDOUT-unset}"})

    assert resource["stdout"] == "unset"
    warnings = [m.text for m in messages(plugin, LOCAL, "long") if m.severity == "warning"]
    assert len(warnings) == 1
    assert warnings[0].startswith("PULUMI_COMMAND_STDOUT is left out")


def test_stdin_environment_directory_and_interpreter(plugin: Provider, tmp_path: Path) -> None:
    resource = plugin.resource(LOCAL, "options")
    resource.up(
        {
            "create": "import os, sys; print(sys.stdin.read(), os.environ['A'], os.getcwd())",
            "stdin": "typed",
            "environment": {"A": "set"},
            "dir": str(tmp_path),
            "interpreter": [sys.executable, "-c"],
        }
    )
    assert resource["stdout"] == f"typed set {tmp_path}"


def test_without_stdin_a_reading_command_sees_the_end(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "no-stdin")
    resource.up({"create": "cat; readlink /proc/self/fd/0"})
    assert resource["stdout"] == "/dev/null"


def test_a_command_that_reads_no_stdin_is_no_error(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "unread")
    resource.up({"create": "exec 0<&-; echo done", "stdin": "x" * 1_000_000})
    assert resource["stdout"] == "done"


def test_a_long_stdin_and_a_long_output_do_not_wait_for_each_other(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "pumped")
    resource.up({"create": "cat; cat /dev/null >&2", "stdin": "x" * 5_000_000, "logging": "none"})
    assert resource["stdout"] == "x" * 5_000_000


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ("echo out; echo err >&2; exit 3", 'exit status 3: running "echo out; echo err >&2; exit 3":\nout\nerr\n'),
        ("kill -TERM $$", 'signal: terminated: running "kill -TERM $$":\n'),
        ('echo "a\tb"; false', 'exit status 1: running "echo \\"a\\tb\\"; false":\na\tb\n'),
    ],
)
def test_a_failed_command_reports_its_exit_and_output(plugin: Provider, command: str, start: str) -> None:
    with pytest.raises(CallFailed) as caught:
        plugin.resource(LOCAL, "failed").up({"create": command})
    assert caught.value.message == start
    assert caught.value.partial is None


@pytest.mark.bundled_only("output")
def test_of_a_long_output_the_error_quotes_the_end(plugin: Provider) -> None:
    with pytest.raises(CallFailed) as caught:
        plugin.resource(LOCAL, "verbose").up({"create": "seq 1 100000; exit 1", "logging": "none"})
    assert caught.value.message.endswith("\n99999\n100000\n")
    assert "bytes left out]" in caught.value.message
    assert len(caught.value.message) < 70_000


@pytest.mark.parametrize(
    ("inputs", "start"),
    [
        ({"dir": "/no/such"}, "chdir /no/such: no such file or directory: running "),
        ({"dir": "/etc/passwd"}, "chdir /etc/passwd: not a directory: running "),
        ({"interpreter": ["no-such-shell"]}, 'exec: "no-such-shell": executable file not found in $PATH: running '),
        ({"interpreter": ["/etc/passwd"]}, "fork/exec /etc/passwd: permission denied: running "),
        ({"environment": {"A": "x" * 140_000}}, "fork/exec /bin/sh: argument list too long: running "),
    ],
)
def test_a_command_that_cannot_start(plugin: Provider, inputs: dict[str, object], start: str) -> None:
    with pytest.raises(CallFailed) as caught:
        plugin.resource(LOCAL, "unstartable").up({"create": "true", **inputs})
    assert caught.value.message.startswith(start)


@pytest.mark.parametrize(
    ("logging", "shown"),
    [
        (None, ["out", "err", "end"]),
        ("stdoutAndStderr", ["out", "err", "end"]),
        ("stdout", ["out", "end"]),
        ("stderr", ["err"]),
        ("none", []),
    ],
)
def test_logging_shows_lines_in_the_status_column(plugin: Provider, logging: str | None, shown: list[str]) -> None:
    name = f"logged-{logging}"
    inputs = {"create": "echo out; sleep 0.1; echo err >&2; sleep 0.1; printf end"}
    plugin.resource(LOCAL, name).up(inputs | ({"logging": logging} if logging else {}))

    found = messages(plugin, LOCAL, name)
    assert [message.text for message in found] == shown
    assert all(message.ephemeral and message.severity == "info" for message in found)


@pytest.mark.bundled_only("output")
def test_a_line_of_any_length_is_captured_and_shown(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "long-line")
    resource.up({"create": "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo after"})
    assert resource["stdout"] == "x" * 1_000_000 + "\nafter"
    assert [len(message.text) for message in messages(plugin, LOCAL, "long-line")] == [1_000_000, 5]


def test_output_faster_than_the_engine_is_captured_completely(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "fast")
    resource.up({"create": "seq 1 200000"})
    assert resource["stdout"].endswith("\n199999\n200000")


@pytest.mark.bundled_only("output")
def test_bytes_that_are_no_text_are_replaced(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "binary")
    resource.up({"create": "printf 'a\\377\\0b'"})
    assert resource["stdout"] == "a\ufffd\0b"
    resource.up({"create": "echo ${PULUMI_COMMAND_STDOUT-unset}"})
    assert resource["stdout"] == "unset"


@pytest.mark.bundled_only("output")
def test_secrets_stay_secret_and_out_of_errors_and_logs(plugin: Provider) -> None:
    inputs = {
        "create": Secret("echo hunter2 $TOKEN; cat; exit 1"),
        "environment": {"TOKEN": Secret("t0ps3cret"), "OPEN": "plain"},
        "stdin": Secret("first line\nsecond line"),
    }
    with pytest.raises(CallFailed) as caught:
        plugin.resource(LOCAL, "secretive").up(inputs)
    reported = caught.value.message + "".join(message.text for message in messages(plugin, LOCAL, "secretive"))
    for word in ("t0ps3cret", "first line", "second line", "echo hunter2"):
        assert word not in reported
    assert "[secret]" in reported

    resource = plugin.resource(LOCAL, "kept")
    resource.up(inputs | {"create": Secret("echo fine")})
    assert resource["create"] == Secret("echo fine")
    assert resource["environment"] == {"TOKEN": Secret("t0ps3cret"), "OPEN": "plain"}
    assert resource["stdout"] == "fine"


def test_a_value_that_turns_secret_is_an_update(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "turned")
    resource.up({"create": "true", "stdin": "x"})
    assert resource.plan({"create": "true", "stdin": Secret("x")}).paths == {"stdin": "UPDATE"}


@pytest.mark.bundled_only("limits")
def test_a_time_limit_kills_the_command_and_its_children(plugin: Provider, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(CallFailed) as caught:
        plugin.resource(LOCAL, "slow").up(
            {"create": f"sleep 60 & echo $! > {tmp_path}/child; echo on; wait"}, timeout=4
        )
    assert time.monotonic() - started < 30
    assert caught.value.message.startswith("context deadline exceeded")
    assert "running" in caught.value.message
    assert "\non\n" in caught.value.message
    _gone(int((tmp_path / "child").read_text()))


@pytest.mark.bundled_only("limits")
def test_cancel_ends_running_commands_with_an_error(own_plugin: Provider, tmp_path: Path) -> None:
    caught: list[CallFailed] = []

    def create() -> None:
        try:
            own_plugin.resource(LOCAL, "cancelled").up({"create": f"echo $$ > {tmp_path}/pid; sleep 60"})
        except CallFailed as error:
            caught.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    pid = _written(tmp_path / "pid")
    own_plugin.cancel()
    thread.join(5)
    assert not thread.is_alive()
    assert caught[0].message.startswith("context canceled")
    _gone(pid)


@pytest.mark.bundled_only("limits")
@pytest.mark.parametrize("how", ["killed engine", "interrupt"])
def test_no_command_outlives_the_plugin(tmp_path: Path, how: str) -> None:
    with running("bundled_plugins.command") as provider:
        thread = threading.Thread(target=_ignoring, args=(provider, f"echo $$ > {tmp_path}/pid; sleep 60"))
        thread.start()
        pid = _written(tmp_path / "pid")
        if how == "interrupt":
            os.killpg(provider.process.pid, signal.SIGINT)
        elif provider.process.stdin is not None:
            provider.process.stdin.close()
        provider.process.wait(5)
        thread.join(5)
        _gone(pid)


def test_a_background_process_that_lets_go_of_the_streams_is_left_alone(plugin: Provider) -> None:
    resource = plugin.resource(LOCAL, "daemon")
    resource.up({"create": "sleep 30 >/dev/null 2>&1 & echo $!"})
    pid = int(resource["stdout"])
    try:
        assert Path(f"/proc/{pid}").exists()
    finally:
        os.kill(pid, signal.SIGKILL)


def _ignoring(provider: Provider, command: str) -> None:
    with contextlib.suppress(CallFailed, ValueError):  # how the call ends is not what the test is about
        provider.resource(LOCAL, "abandoned").up({"create": command})


def _written(path: Path) -> int:
    until(lambda: path.exists() and bool(path.read_text().strip()), 10, lambda: f"{path} was not written")
    return int(path.read_text())


def _gone(pid: int) -> None:
    until(lambda: not _alive(pid), 5, lambda: f"process {pid} still runs")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
