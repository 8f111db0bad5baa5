"""Help, version, and what a shell completes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from components.config import stack_file
from overlab import cli
from overlab.cli import application
from overlab.core import exit_codes
from overlab.platform import manifest

PROJECT = Path(__file__).parents[2]


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name)


COMMANDS = list(commands(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_every_command_has_an_example_of_it(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli.app, [*words, "--help"])
    assert done.exit_code == 0
    [example] = re.findall(r"Example: (.*(?:\n .*)*)", done.stdout)
    assert f"overlab {' '.join(words)}" in example


def test_version() -> None:
    assert CliRunner().invoke(cli.app, ["--version"]).stdout == f"overlab {version('overlab')}\n"


# -- completion


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in PROJECT.glob("Pulumi*.yaml"):
        shutil.copy(path, tmp_path)
    (tmp_path / "Pulumi.broken.yaml").write_bytes(b"\xff")
    for module in (application, manifest):
        monkeypatch.setattr(module, "checkout", lambda: tmp_path)
    return tmp_path


def completed(*words: str) -> list[str]:
    """What bash offers for the last word."""
    env = {"_OVERLAB_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = CliRunner().invoke(cli.app, [], env=env, prog_name="overlab")
    assert done.exit_code == 0, done.output
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pre"], ["preview"]),
        (["--stack", "c"], ["ci"]),
        (["up", "-s", "d"], ["dev"]),
        (["new", "x", "--from", "pl"], ["plain"]),
        (["exec", "--stack", "ci", "docker03"], ["docker03"]),
        (["--stack", "ci", "ssh", "docker03"], ["docker03"]),
        (["inspect", "cnm", "-s", "ci", "docker02"], ["docker02"]),
        (["test", "-s", "ci", "--only", "besi"], ["beside1"]),
        (["test", "-s", "ci", "--only", "no-e"], ["no-egress", "no-egress:c1"]),
        (["set", "-s", "ci", "networks.ov_closed.i"], ["networks.ov_closed.internal="]),
        (["set", "-s", "ci", "workloads.t1."], ["workloads.t1.networks=", "workloads.t1.node="]),
        (["exec", "-s", "broken", "d"], []),
        (["set", "-s", "broken", "n"], []),
        (["test", "-s", "nowhere", "--only", "t"], []),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_shell_completes_what_exists(project: Path, words: list[str], expected: list[str]) -> None:
    assert completed("overlab", *words) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one_that_it_reads(shell: str) -> None:
    script = CliRunner().invoke(cli.app, ["completion", shell]).stdout
    assert "_OVERLAB_COMPLETE=complete_" + shell in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=60)


def test_bash_completes_through_its_own_completion(tmp_path: Path) -> None:
    """Ids with colons, by the script that the user evaluates."""
    (tmp_path / "overlab").write_text('#!/bin/sh\necho "$COMP_WORDS" | tr "\\n" "|" >"$0.words"; echo dns:a:b\n')
    (tmp_path / "overlab").chmod(0o755)
    script = CliRunner().invoke(cli.app, ["completion", "bash"]).stdout
    script += "COMP_WORDS=(overlab test --only dns:a); COMP_CWORD=3\n"
    script += '_overlab_completion overlab; echo "${COMPREPLY[@]}"; echo "$COMP_WORDBREAKS" | grep -c ":"'
    done = subprocess.run(
        ["bash", "--norc"],
        input=script,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "dns:a:b\n0\n", done.stderr
    assert (tmp_path / "overlab.words").read_text() == "overlab|test|--only|dns:a|"


# -- exit codes


def test_the_table_of_exit_codes_has_each(project: Path) -> None:
    page = (PROJECT / "docs" / "howto" / "command-line.md").read_text()
    documented = [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)]
    codes = {value for name, value in vars(exit_codes).items() if name.isupper()}
    assert sorted(documented) == sorted({*codes, 255})


def test_stacks_are_those_with_a_file(project: Path) -> None:
    assert completed("overlab", "up", "--stack", "") == stack_file.stacks(project)
