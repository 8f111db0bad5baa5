"""The bundled language host under the real CLI: programs, their failures, and their end."""

from __future__ import annotations

import itertools
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.engine import Home, Project

pytestmark = pytest.mark.bundled_only("language host")

NUMBERS = itertools.count()

#: Lines of the CLI's output that belong to the machinery and not to the program.
MACHINERY = ("runner.py", "<frozen runpy>", "pulumi/runtime")

HANGING = """
import signal, subprocess, sys, time
{prepare}
subprocess.Popen(["sleep", "3600"])
print("program is hanging")
time.sleep(3600)
"""


@pytest.fixture
def project(pulumi_home: Home, tmp_path: Path) -> Iterator[Project]:
    """An empty project; no process of it may be left at the end of the test."""
    yield Project(pulumi_home, tmp_path / "project", name=f"project-{next(NUMBERS)}").create()
    pulumi_home.wait_until_idle()


@pytest.fixture(scope="module")
def shared(pulumi_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A stack for programs that fail, and so leave nothing in it."""
    return Project(pulumi_home, tmp_path_factory.mktemp("shared") / "project", name="shared").create()


def test_program_with_components_config_and_outputs(project: Project) -> None:
    project.run("config", "set", "plain", "seen").passed()
    project.run("config", "set", "--secret", "password", "k7-hidden").passed()
    project.write("inner/__init__.py", "VALUE = 'from a package of the program'\n")
    # Neighbors of the host's own runner are called process and policy_proxy.
    project.write("process.py", "NAME = 'the program\\'s own module'\n")
    text = """
        import importlib.util
        import sys
        import pulumi
        import process
        from inner import VALUE

        class Thing(pulumi.ComponentResource):
            def __init__(self, name, opts=None):
                super().__init__("test:index:Thing", name, None, opts)
                self.register_outputs({"name": name})

        parent = Thing("parent")
        Thing("child", pulumi.ResourceOptions(parent=parent))
        config = pulumi.Config()
        pulumi.export("plain", config.require("plain"))
        pulumi.export("password", config.require_secret("password"))
        keys = [f"{config.name}:plain", f"{config.name}:password"]
        pulumi.export("secret keys", [pulumi.runtime.is_config_secret(key) for key in keys])
        pulumi.export("imports", [VALUE, process.NAME, importlib.util.find_spec("policy_proxy")])
        pulumi.export("where", [pulumi.get_project(), pulumi.get_stack(), pulumi.get_organization()])
        pulumi.export("applied", parent.urn.apply(lambda urn: urn.split("::")[-1]))
        pulumi.export("arguments", sys.argv[1:])
        print("on stdout")
        print("on stderr", file=sys.stderr)
        print("dry run:", pulumi.runtime.is_dry_run())
    """
    project.write("__main__.py", text)

    shown = project.run("up", "--yes").passed()

    for line in ("on stdout", "on stderr", "dry run: True", "dry run: False", "+ 3 created"):
        assert line in shown
    assert "k7-hidden" not in shown
    outputs = json.loads(project.run("stack", "output", "--json", "--show-secrets").passed())
    assert outputs == {
        "plain": "seen",
        "password": "k7-hidden",
        "secret keys": [False, True],
        "imports": ["from a package of the program", "the program's own module", None],
        "where": [project.name, "dev", "organization"],
        "applied": "parent",
        "arguments": [],
    }
    assert "k7-hidden" not in project.run("stack", "export").passed()

    assert "3 unchanged" in project.run("up", "--yes", "--skip-preview", "--expect-no-changes").passed()
    assert "- 3 deleted" in project.run("destroy", "--yes", "--skip-preview").passed()


def test_main_and_virtualenv_relative_to_the_project(project: Project) -> None:
    (project.directory / "env").symlink_to(sys.prefix)
    project.write(
        "Pulumi.yaml",
        f"name: {project.name}\nmain: code/entry.py\nruntime: {{name: python, options: {{virtualenv: env}}}}\n",
    )
    project.write("code/beside.py", "WHO = 'beside the entry'\n")
    project.write(
        "code/entry.py",
        """
        import os, sys
        import beside
        print(beside.WHO, "in", os.path.basename(os.getcwd()))
        print("VIRTUAL_ENV", os.environ["VIRTUAL_ENV"])
        print("PATH", os.environ["PATH"].split(os.pathsep)[0])
        """,
    )

    shown = project.run("preview").passed()

    assert "beside the entry in code" in shown
    assert f"VIRTUAL_ENV {project.directory}/env" in shown
    assert f"PATH {project.directory}/env/bin" in shown


def test_output_comes_while_the_program_runs(project: Project) -> None:
    project.write("__main__.py", HANGING.format(prepare=""))
    with project.started("preview") as command:
        command.wait_for("program is hanging")


def test_run_error_shows_its_text_and_nothing_else(shared: Project) -> None:
    shown = shared.up(
        """
        import pulumi
        raise pulumi.RunError("2 settings are wrong:\\n  cidr: no network\\n  name: no name\\n\\nsee Pulumi.dev.yaml")
        """
    ).failed()

    assert diagnostics(shown) == [
        "error: 2 settings are wrong:",
        "  cidr: no network",
        "  name: no name",
        "see Pulumi.dev.yaml",
    ]


def test_exception_shows_the_frames_of_the_program_only(shared: Project) -> None:
    shared.write(
        "helper.py",
        """
        def deep():
            try:
                {}["key"]
            except KeyError as error:
                raise ValueError("lost") from error
        """,
    )

    shown = shared.up("import helper\nhelper.deep()\n").failed()

    frames = [line.split('"')[1].rpartition("/")[2] for line in diagnostics(shown) if line.startswith("  File")]
    assert frames == ["helper.py", "__main__.py", "helper.py"]
    assert "KeyError: 'key'" in shown
    assert "ValueError: lost" in shown
    assert "error: Program failed with an unhandled exception" in shown
    assert "an unhandled error occurred" not in shown


def test_exception_in_apply_names_its_line(shared: Project) -> None:
    shown = shared.up(
        """
        import pulumi
        def explode(value):
            raise ValueError(f"cannot use {value}")
        pulumi.export("x", pulumi.Output.from_input(3).apply(explode))
        """
    ).failed()

    assert "ValueError: cannot use 3" in shown
    assert "line 3, in explode" in shown
    assert not [part for part in MACHINERY if part in shown]


@pytest.mark.parametrize("module", ["__main__", "imported"])
def test_syntax_error_names_its_line(shared: Project, module: str) -> None:
    shared.write("imported.py", "def broken(:\n")

    shown = shared.up("import imported\n" if module == "imported" else "def broken(:\n").failed()

    assert f'{module}.py", line 1' in shown
    assert "SyntaxError" in shown
    assert not [part for part in MACHINERY if part in shown]


def test_exit_codes_of_the_program(shared: Project) -> None:
    assert "error: an unhandled error occurred: program exited with non-zero exit code: 3" in (
        shared.up("import sys\nsys.exit(3)\n").failed()
    )
    assert "was ended by signal 9 (SIGKILL)" in shared.up("import os\nos.kill(os.getpid(), 9)\n").failed()
    shared.up("import sys\nsys.exit(0)\n").passed()


def test_failures_before_the_program_runs(shared: Project) -> None:
    shared.write("__main__.py", "")
    (shared.directory / "__main__.py").unlink()
    assert f"error: there is no Python program: {shared.directory}/__main__.py" in shared.run("preview").failed()

    good = (shared.directory / "Pulumi.yaml").read_text()
    try:
        shared.write("Pulumi.yaml", "name: shared\nruntime: {name: python, options: {virtualenv: nowhere}}\n")
        shown = shared.run("preview").failed()
        assert f"virtualenv {shared.directory}/nowhere has no bin/python; make it with `python3 -m venv" in shown

        shared.write("Pulumi.yaml", "name: shared\nruntime: python\n")
        bare = shared.write("bare", f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
        bare.chmod(0o755)
        shown = shared.run("preview", PULUMI_PYTHON_CMD=str(bare)).failed()
        assert "cannot import the package 'pulumi' with" in shown
    finally:
        shared.write("Pulumi.yaml", good)


@pytest.mark.parametrize("prepare", ["", "signal.signal(signal.SIGINT, signal.SIG_IGN)"], ids=["heeding", "deaf"])
def test_interrupt_ends_soon_and_leaves_nothing(project: Project, prepare: str) -> None:
    project.write("__main__.py", HANGING.format(prepare=prepare))
    with project.started("up", "--yes", "--skip-preview") as command:
        command.wait_for("program is hanging")
        command.send(signal.SIGINT)
        shown = command.result(20).failed()

    assert "error: update canceled" in shown
    assert "KeyboardInterrupt" not in shown
    assert "Traceback" not in shown
    project.home.wait_until_idle()


def test_killed_cli_leaves_no_process(project: Project) -> None:
    project.write("__main__.py", HANGING.format(prepare="signal.signal(signal.SIGINT, signal.SIG_IGN)"))
    with project.started("up", "--yes", "--skip-preview") as command:
        command.wait_for("program is hanging")
        assert any("sleep" in each for each in project.home.processes().values())
        command.send(signal.SIGKILL)
        command.result(5)
        project.home.wait_until_idle()


def test_about_names_the_interpreter(project: Project) -> None:
    about = project.run("about", "--json").passed()
    runtime = json.loads(about[about.index("{") :])["runtime"]
    assert (runtime["language"], runtime["executable"]) == ("python", f"{sys.prefix}/bin/python")


def diagnostics(shown: str) -> list[str]:
    """The text below ``Diagnostics:`` and its resource, without its margin and empty lines."""
    lines = shown.split("Diagnostics:\n", 1)[1].splitlines()[1:]
    block: list[str] = []
    for line in lines:
        if line and not line.startswith("    "):
            break
        if line.strip():
            block.append(line.removeprefix("    "))
    return block
