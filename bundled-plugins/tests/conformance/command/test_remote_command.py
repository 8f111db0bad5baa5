"""``command:remote:Command`` as the engine drives it, against a real sshd."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bundled_plugins.runtime.values import Secret

from conformance.command.conftest import REMOTE, Host, messages
from conformance.harness import CallFailed, Provider, until
from conformance.sshd import Sshd, private_sshd

pytestmark = pytest.mark.root


def test_outputs_are_the_inputs_and_both_streams_without_one_newline(plugin: Provider, host: Host) -> None:
    resource = plugin.resource(REMOTE, "plain")

    assert resource.up(host.command("printf 'a\\n\\n'; printf 'b\\n' >&2")) == "create"

    assert (resource["stdout"], resource["stderr"]) == ("a\n", "b")
    assert set(resource.outputs) == {"connection", "create", "stdout", "stderr"}
    assert resource.id.startswith("plain")


def test_a_changed_trigger_replaces_and_a_changed_connection_updates(
    plugin: Provider, host: Host, sshd: Sshd, tmp_path: Path
) -> None:
    resource = plugin.resource(REMOTE, "changed")
    log = tmp_path / "log"
    bag = {"delete": f"echo delete >> {log}", "addPreviousOutputInEnv": False}
    resource.up(host.command(f"echo create >> {log}", triggers=["1"], **bag))

    assert resource.up(host.command(f"echo create >> {log}", triggers=["2"], **bag)) == "replace"
    assert log.read_text() == "create\ncreate\ndelete\n"

    patient = sshd.connection(dialErrorLimit=20)
    assert resource.up(host.command(f"echo create >> {log}", patient, triggers=["2"], **bag)) == "update"
    assert resource.last_diff is not None
    assert resource.last_diff.paths == {"connection": "UPDATE"}
    assert log.read_text() == "create\ncreate\ndelete\ncreate\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("exit 3", 'Process exited with status 3: running "exit 3":\n'),
        ("kill -KILL $$", 'Process exited with status 137 from signal KILL: running "kill -KILL $$":\n'),
        ("echo a; echo b; exit 1", 'Process exited with status 1: running "echo a; echo b; exit 1":\na\nb\n'),
    ],
)
def test_a_failed_command_reports_its_exit(plugin: Provider, host: Host, command: str, message: str) -> None:
    with pytest.raises(CallFailed) as caught:
        plugin.resource(REMOTE, "failed").up(host.command(command))
    assert caught.value.message == message


def test_the_error_interleaves_the_streams(plugin: Provider, host: Host) -> None:
    with pytest.raises(CallFailed) as caught:
        plugin.resource(REMOTE, "mixed").up(
            host.command("for i in 1 2 3; do echo o$i; sleep 0.4; echo e$i >&2; sleep 0.4; done; exit 1")
        )
    assert caught.value.message.endswith(":\no1\ne1\no2\ne2\no3\ne3\n")


def test_stdin_reaches_the_command_and_ends(plugin: Provider, host: Host) -> None:
    resource = plugin.resource(REMOTE, "stdin")
    resource.up(host.command("cat", stdin="typed"))
    assert resource["stdout"] == "typed"
    empty = plugin.resource(REMOTE, "no-stdin")
    empty.up(host.command("cat; echo end"))
    assert empty["stdout"] == "end"


def test_long_streams_both_ways(plugin: Provider, host: Host) -> None:
    resource = plugin.resource(REMOTE, "streams")
    text = "line of text\n" * 1_000_000
    resource.up(host.command("cat; seq 1 100000 >&2", stdin=text, logging="none"))
    assert resource["stdout"] + "\n" == text
    assert resource["stderr"].endswith("\n99999\n100000")


def test_a_command_that_reads_no_stdin_is_no_error(plugin: Provider, host: Host) -> None:
    resource = plugin.resource(REMOTE, "unread")
    resource.up(host.command("echo done", stdin="x" * 20_000_000))
    assert resource["stdout"] == "done"


@pytest.mark.bundled_only("output")
def test_lines_of_any_length_are_shown_masked(plugin: Provider, host: Host) -> None:
    plugin.resource(REMOTE, "shown").up(
        host.command("head -c 300000 /dev/zero | tr '\\0' x; echo; cat", stdin=Secret("t0ps3cret\n"))
    )
    found = messages(plugin, REMOTE, "shown")
    assert [message.text for message in found] == ["x" * 300_000, "[secret]"]
    assert all(message.ephemeral for message in found)


def test_variables_that_the_server_takes_are_set(plugin: Provider, host: Host) -> None:
    resource = plugin.resource(REMOTE, "taken")
    resource.up(host.command("echo $TAKEN", environment={"TAKEN": "here"}))
    assert resource["stdout"] == "here"


def test_a_variable_that_the_server_refuses_is_an_error_and_nothing_runs(
    plugin: Provider, host: Host, tmp_path: Path
) -> None:
    with pytest.raises(CallFailed) as caught:
        plugin.resource(REMOTE, "refused").up(
            host.command(f"touch {tmp_path}/ran", environment={"TAKEN": "1", "OTHER": "2"})
        )
    assert caught.value.message.startswith('could not set environment variable "OTHER": ssh: setenv failed')
    errors = [message for message in messages(plugin, REMOTE, "refused") if message.severity == "error"]
    assert errors[0].text.startswith(
        "Unable to set 'OTHER'. This only works if your SSH server is configured to accept these variables"
    )
    assert not (tmp_path / "ran").exists()


def test_a_refused_previous_output_is_only_a_warning(plugin: Provider, host: Host) -> None:
    resource = plugin.resource(REMOTE, "warned")
    resource.up(host.command("echo out; echo err >&2"))
    resource.up(host.command("echo ${PULUMI_COMMAND_STDOUT-unset}", environment={"TAKEN": "x"}))
    assert resource["stdout"] == "unset"
    warnings = [message.text for message in messages(plugin, REMOTE, "warned") if message.severity == "warning"]
    assert [text.split(".")[0] for text in warnings] == [
        "Unable to set 'PULUMI_COMMAND_STDOUT'",
        "Unable to set 'PULUMI_COMMAND_STDERR'",
    ]


@pytest.mark.bundled_only("output")
def test_secrets_stay_secret_and_out_of_errors(plugin: Provider, host: Host, sshd: Sshd) -> None:
    resource = plugin.resource(REMOTE, "secretive")
    inputs = host.command("cat", stdin=Secret("t0ps3cret"))
    resource.up(inputs)
    assert isinstance(resource["connection"], Secret)
    assert resource["stdin"] == Secret("t0ps3cret")

    with pytest.raises(CallFailed) as caught:
        resource.up(host.command(Secret("cat; echo 'hunter2'; exit 1"), stdin=Secret("t0ps3cret")))
    assert "t0ps3cret" not in caught.value.message
    assert "hunter2'" not in caught.value.message
    assert sshd.client_key.private not in caught.value.message


@pytest.mark.bundled_only("logins")
def test_operations_share_one_login(own_plugin: Provider, host: Host, sshd: Sshd) -> None:
    before = sshd.logins()
    with ThreadPoolExecutor(6) as executor:
        list(
            executor.map(
                lambda number: own_plugin.resource(REMOTE, f"shared{number}").up(host.command("sleep 0.5")), range(6)
            )
        )
    own_plugin.resource(REMOTE, "later").up(host.command("true"))
    assert sshd.logins() - before == 1


@pytest.mark.bundled_only("logins")
def test_more_operations_than_channels_get_a_second_login_and_wait_for_nobody(
    own_plugin: Provider, tmp_path: Path
) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    all_here = f"[ $(ls {meeting} | wc -l) = 12 ]"
    meet = f"touch {meeting}/$$; for i in $(seq 100); do {all_here} && exit; sleep 0.2; done; exit 1"
    with private_sshd(tmp_path / "sshd", MaxSessions="20") as server, ThreadPoolExecutor(12) as executor:
        host = Host(server)
        list(executor.map(lambda n: own_plugin.resource(REMOTE, f"many{n}").up(host.command(meet)), range(12)))
        assert server.logins() == 2


@pytest.mark.bundled_only("logins")
def test_a_server_with_fewer_sessions_than_channels(own_plugin: Provider, tmp_path: Path) -> None:
    with private_sshd(tmp_path / "sshd", MaxSessions="2") as server, ThreadPoolExecutor(5) as executor:
        host = Host(server)
        list(
            executor.map(
                lambda number: own_plugin.resource(REMOTE, f"few{number}").up(host.command("sleep 1")), range(5)
            )
        )
        assert server.logins() <= 5


@pytest.mark.bundled_only("logins")
def test_users_other_than_root_get_a_login_that_sees_what_commands_changed(
    own_plugin: Provider, tmp_path: Path
) -> None:
    keys = f"/usr/bin/cat {tmp_path}/sshd/authorized_keys"  # nobody could not read the file
    settings = {"AuthorizedKeysFile": "none", "AuthorizedKeysCommand": keys, "AuthorizedKeysCommandUser": "root"}
    with private_sshd(tmp_path / "sshd", **settings) as server:
        host = Host(server)
        nobody = server.connection(user="nobody")
        own_plugin.resource(REMOTE, "r1").up(host.command("true"))
        own_plugin.resource(REMOTE, "r2").up(host.command("true"))
        assert server.logins() == 1
        for number in range(2):
            with pytest.raises(CallFailed, match="Process exited with status 1"):  # it has no shell, but a login
                own_plugin.resource(REMOTE, f"n{number}").up(host.command("true", nobody))
        assert server.logins() == 3


@pytest.mark.bundled_only("logins")
def test_a_dead_shared_connection_is_replaced_unnoticed(own_plugin: Provider, own_sshd: Sshd, tmp_path: Path) -> None:
    host = Host(own_sshd)
    own_plugin.resource(REMOTE, "before").up(host.command("true"))
    own_sshd.stop()
    own_sshd.start()

    own_plugin.resource(REMOTE, "after").up(host.command(f"echo x >> {tmp_path}/runs"))

    assert (tmp_path / "runs").read_text() == "x\n"
    assert own_sshd.logins() == 2


@pytest.mark.bundled_only("logins")
def test_a_connection_that_breaks_under_a_command_is_an_error_and_nothing_runs_twice(
    own_plugin: Provider, own_sshd: Sshd, tmp_path: Path
) -> None:
    caught: list[CallFailed] = []

    def create() -> None:
        try:
            own_plugin.resource(REMOTE, "broken").up(
                Host(own_sshd).command(f"echo x >> {tmp_path}/runs; echo said; sleep 60")
            )
        except CallFailed as error:
            caught.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    until(lambda: "said" in [m.text for m in messages(own_plugin, REMOTE, "broken")], 10, lambda: "no output")
    own_sshd.stop()
    own_sshd.start()
    thread.join(10)
    assert not thread.is_alive()
    assert caught[0].message.startswith("EOF")
    assert "\nsaid\n" in caught[0].message
    assert (tmp_path / "runs").read_text() == "x\n"


@pytest.mark.bundled_only("limits")
def test_a_time_limit_ends_a_running_command(plugin: Provider, host: Host) -> None:
    with pytest.raises(CallFailed) as caught:
        plugin.resource(REMOTE, "slow").up(host.command("echo on; sleep 100"), timeout=5)
    assert caught.value.message.startswith("context deadline exceeded")
    assert "\non\n" in caught.value.message


@pytest.mark.bundled_only("limits")
def test_cancel_ends_a_running_command_and_a_dial_loop(own_plugin: Provider, host: Host, sshd: Sshd) -> None:
    nowhere = sshd.connection(port=1, dialErrorLimit=-1)
    caught: list[CallFailed] = []

    def create(name: str, connection: dict[str, object]) -> None:
        try:
            own_plugin.resource(REMOTE, name).up(host.command("echo on; sleep 60", connection))
        except CallFailed as error:
            caught.append(error)

    threads = [
        threading.Thread(target=create, args=arguments)
        for arguments in [("running", sshd.connection()), ("dialing", nowhere), ("waiting", nowhere)]
    ]
    for thread in threads:
        thread.start()
    names = ("running", "dialing", "waiting")
    until(lambda: all(messages(own_plugin, REMOTE, name) for name in names), 10, lambda: "not all have begun")
    own_plugin.cancel()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert len(caught) == 3
    assert all(error.message.startswith("context canceled") for error in caught)


def test_delete_on_a_host_that_is_gone_fails_after_the_dial_limit(own_plugin: Provider, own_sshd: Sshd) -> None:
    resource = own_plugin.resource(REMOTE, "stranded")
    connection = own_sshd.connection(dialErrorLimit=2)
    resource.up(Host(own_sshd).command("true", connection, delete="true"))
    own_sshd.stop()
    with pytest.raises(CallFailed) as caught:
        resource.destroy()
    assert caught.value.message.startswith("after 2 failed attempts: ")

    without = own_plugin.resource(REMOTE, "without-delete")
    without.id, without.inputs, without.outputs = resource.id, dict(resource.inputs), dict(resource.outputs)
    del without.inputs["delete"]
    without.destroy()
