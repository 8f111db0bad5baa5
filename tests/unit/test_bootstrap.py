"""scripts/bootstrap lists before it installs, asks for root in one sentence, and does nothing twice."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_PROJECT = Path(__file__).parents[2]

_TOOLS = {
    "dpkg-query": 'for name in $INSTALLED; do echo "$name installed"; done',
    "apt-get": """
echo "apt-get $*" >> "$CALLS"
[ ! -e "$POLICY_RC_D" ] || echo "policy $(sh "$POLICY_RC_D"; echo $?)" >> "$CALLS"
[ ! -e "$APT_FAILS" ] || { rm "$APT_FAILS"; exit 100; }""",
    "id": 'echo "$USER_ID"',
    "python3": """
echo "python $*" >> "$CALLS"
case "$*" in
    "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    "-c import sys; print"*) echo 3.11 ;;
    *require-hashes*) [ ! -e "$PIP_FAILS" ] || { printf '%s\\n' 1 2 3 "no such" "ERROR: package" >&2; exit 1; } ;;
esac""",
}
_ALL = "make gcc umoci"
_LIST = """\
# comment

make    up     a tool
gcc     up     a compiler
umoci   test   images
shellcheck check lint
docker.io|some-dockerd container an engine
"""


class Checkout:
    """A copy of what bootstrap reads, and stand-ins for the tools that it calls."""

    def __init__(self, root: Path) -> None:
        self.root = root / "checkout with space"
        self.calls = root / "calls"
        self.apt_fails = root / "apt-fails"
        self.pip_fails = root / "pip-fails"
        self.policy = root / "policy-rc.d"
        self.installed = _ALL
        self.user_id = "0"
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(_PROJECT / "scripts" / "bootstrap", self.root / "scripts")
        (self.root / "overlab" / "platform").mkdir(parents=True)
        (self.root / "overlab" / "platform" / "debian-packages.txt").write_text(_LIST)
        (self.root / "requirements.lock").write_text("a==1\n")
        (self.root / "pyproject.toml").write_text("[project]\n")
        self.bin = root / "bin"
        self.bin.mkdir()
        for name, script in _TOOLS.items():
            (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.bin / name).chmod(0o755)

    def run(self, *uses: str) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "CALLS": str(self.calls),
            "INSTALLED": self.installed,
            "USER_ID": self.user_id,
            "APT_FAILS": str(self.apt_fails),
            "POLICY_RC_D": str(self.policy),
            "PIP_FAILS": str(self.pip_fails),
        }
        self.calls.write_text("")
        command = [str(self.root / "scripts" / "bootstrap"), *uses]
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)

    def called(self, tool: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.startswith(tool)]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_missing_packages_are_listed_with_their_reason_and_installed(checkout: Checkout) -> None:
    checkout.installed = "umoci"
    done = checkout.run("up")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Debian packages that are missing:"
    assert [line.split(maxsplit=1) for line in lines[1:3]] == [["make", "a tool"], ["gcc", "a compiler"]]
    assert checkout.called("apt-get") == ["apt-get install --no-install-recommends -y make gcc"]


def test_an_installation_starts_no_service(checkout: Checkout) -> None:
    checkout.installed = "umoci"
    checkout.run("up")
    assert checkout.called("policy") == ["policy 101"]
    assert not checkout.policy.exists()


def test_a_policy_of_the_machines_own_is_left_alone(checkout: Checkout) -> None:
    checkout.installed = "umoci"
    checkout.policy.write_text("exit 0\n")
    checkout.run("up")
    assert checkout.called("policy") == ["policy 0"]
    assert checkout.policy.read_text() == "exit 0\n"


def test_uses_select_packages(checkout: Checkout) -> None:
    checkout.installed = "make gcc"
    checkout.run("up")
    assert checkout.called("apt-get") == []
    checkout.run("up", "test", "check")
    assert checkout.called("apt-get") == ["apt-get install --no-install-recommends -y umoci shellcheck"]


def test_a_package_whose_program_is_there_already_is_not_asked_for(checkout: Checkout) -> None:
    checkout.run("container")
    assert checkout.called("apt-get") == ["apt-get install --no-install-recommends -y docker.io"]
    (checkout.bin / "some-dockerd").write_text("#!/bin/sh\n")
    (checkout.bin / "some-dockerd").chmod(0o755)
    checkout.run("container")
    assert checkout.called("apt-get") == []


def test_without_root_it_names_the_command_and_installs_nothing(checkout: Checkout) -> None:
    checkout.installed, checkout.user_id = "make umoci", "1000"
    done = checkout.run()
    assert done.returncode == 1
    assert done.stderr == (
        "bootstrap failed at 1 step\nDebian packages\n"
        "  cause     some are missing and only root can install them\n"
        "  remedy    sudo apt-get install --no-install-recommends -y gcc\n"
    )
    assert checkout.called("apt-get") == []
    assert not (checkout.root / ".venv").exists()


def test_a_failed_install_is_tried_again_with_fresh_lists(checkout: Checkout) -> None:
    checkout.installed = "make umoci"
    checkout.apt_fails.touch()
    assert checkout.run().returncode == 0
    install = "apt-get install --no-install-recommends -y gcc"
    assert checkout.called("apt-get") == [install, "apt-get update", install]


def test_environment_is_created_on_the_lock_with_hashes_once(checkout: Checkout) -> None:
    assert checkout.run().returncode == 0
    pip = [line for line in checkout.called("python") if " pip install" in line]
    assert "--require-hashes -r .venv/requirements.lock" in pip[0]
    assert (checkout.root / ".venv" / "requirements.lock").read_text() == (
        checkout.root / "requirements.lock"
    ).read_text()
    assert "--no-deps --no-build-isolation -e ." in pip[1]
    done = checkout.run()
    assert (done.returncode, done.stdout) == (0, "")
    assert [line for line in checkout.called("python") if "pip" in line or "venv" in line] == []


def test_for_the_machines_own_docker_libvirts_binding_is_left_out_and_added_for_other_uses(checkout: Checkout) -> None:
    lock, own = checkout.root / "requirements.lock", checkout.root / ".venv" / "requirements.lock"
    lock.write_text("a==1 \\\n    --hash=sha256:1\nlibvirt-python==1 \\\n    --hash=sha256:2\n    # via x\nz==1\n")
    assert checkout.run("docker").returncode == 0
    assert own.read_text() == "a==1 \\\n    --hash=sha256:1\nz==1\n"
    assert checkout.run("up").returncode == 0
    assert own.read_text() == lock.read_text()
    checkout.called("python")
    assert checkout.run("docker").returncode == 0
    assert not any("pip install" in line for line in checkout.called("python"))


def test_the_command_runs_isolated_whichever_python_the_caller_names(checkout: Checkout) -> None:
    assert checkout.run().returncode == 0
    command = checkout.root / ".venv" / "bin" / "overlab"
    command.with_name("python").unlink()
    command.with_name("python").symlink_to(sys.executable)
    command.write_text(command.read_text().replace("from overlab.cli import main", "main = lambda: print(sys.flags)"))
    env = {"PATH": "/usr/bin:/bin", "PYTHONHOME": "/nonexistent", "PYTHONEXECUTABLE": "/nonexistent"}
    done = subprocess.run([command], env=env, capture_output=True, text=True, check=False)
    assert "isolated=1" in done.stdout, done.stderr


@pytest.mark.parametrize("file", ["requirements.lock", "pyproject.toml"])
def test_environment_follows_the_lock_and_the_project(checkout: Checkout, file: str) -> None:
    checkout.run()
    (checkout.root / file).write_text("changed\n")
    checkout.run()
    assert any("require-hashes" in line for line in checkout.called("python"))


def test_environment_whose_making_failed_is_made_again(checkout: Checkout) -> None:
    checkout.pip_fails.touch()
    done = checkout.run()
    assert done.returncode == 1
    assert done.stderr.splitlines()[-8:] == [
        "bootstrap failed at 1 step",
        "Python environment",
        "  cause     the packages of requirements.lock could not be installed",
        "  evidence  2",
        "            3",
        "            no such",
        "            ERROR: package",
        "  remedy    fix what pip says, then run this again",
    ]
    checkout.pip_fails.unlink()
    assert checkout.run().returncode == 0
    assert any("require-hashes" in line for line in checkout.called("python"))


@pytest.mark.parametrize(
    ("target", "settings", "uses"),
    [
        ("up", "machine: {kind: container, memory_mib: 1024}", "up bundled container"),
        ("up", "store: {kind: consul}", "up bundled vm"),
        ("down", "store: {kind: consul}", "up"),
    ],
)
def test_make_installs_what_the_stack_needs(tmp_path: Path, target: str, settings: str, uses: str) -> None:
    shutil.copy(_PROJECT / "Makefile", tmp_path)
    (tmp_path / "Pulumi.some.yaml").write_text(settings)
    command = ["make", "--dry-run", "--no-print-directory", target, "STACK=some"]
    env = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == f"scripts/bootstrap {uses}"
