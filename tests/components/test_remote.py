"""Scripts on a machine: bounded, without stdin, with output that any provider takes, and out of sight."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from components.config.settings import parse, read_stack_file
from components.remote import bounded
from tests.components.recorder import Declared, Recorder, make_platform, run_lab

SHELLS = ("dash", "bash")


def run(script: str, limit_s: int = 20, shell: str = "sh") -> subprocess.CompletedProcess[bytes]:
    """As a machine gets it: the script on stdin."""
    text = bounded("docker01-step", limit_s, script).encode()
    return subprocess.run([shell, "-s"], input=text, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_exit_code_and_both_outputs_arrive_as_printable_ascii(shell: str) -> None:
    done = run("printf 'a\\tb\\377c\\n'; printf '\\303\\274\\033[1m' >&2; exit 7", shell=shell)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"a\tb?c\n", b"???[1m")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_that_does_not_end_is_ended_with_its_children(shell: str, tmp_path: Path) -> None:
    done = run(f"echo begun; (sleep 60; touch {tmp_path}/late) & echo $! >{tmp_path}/pid; wait", 1, shell)
    assert (done.returncode, done.stdout) == (124, b"begun\n")
    assert done.stderr == b"docker01-step did not end within 1 s\n"
    # Gone, or not yet waited for by the machine's init.
    state = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_in_a_script_read_none_of_it(shell: str) -> None:
    done = run("cat; echo \"it's $((6 * 7))\"; cat <<'EOF'\n$here `too`\nEOF\n", shell=shell)
    assert (done.stdout, done.stderr) == (b"it's 42\n$here `too`\n", b"")


def test_a_long_script_arrives_completely() -> None:
    assert run("# filler\n" * 50_000 + "echo end").stdout == b"end\n"


def test_the_script_passes_shellcheck() -> None:
    text = "#!/bin/sh\n" + bounded("docker01-step", 9, "true")
    done = subprocess.run(["shellcheck", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> list[Declared]:
    settings = parse(read_stack_file(Path(__file__).parents[2], "ci"), "ci")
    lab: Recorder = run_lab(settings, make_platform(tmp_path_factory.mktemp("platform"), settings))
    return lab.of("command:remote:Command")


def test_what_an_error_shows_is_one_short_line_that_names_the_step(commands: list[Declared]) -> None:
    assert {item.inputs["create"] for item in commands} == {f"exec sh -s # {item.name}" for item in commands}


def test_whatever_runs_on_a_machine_comes_after_the_proof_that_it_is_reachable(commands: list[Declared]) -> None:
    gates = {item.deleted_with: item.urn for item in commands if item.name.endswith("-reachable")}
    for item in commands:
        if not item.name.endswith("-reachable"):
            assert gates[item.deleted_with] in item.dependencies, item.name
