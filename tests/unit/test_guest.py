"""What goes into the machines and containers: valid shell, readable configuration, the entry point's manners."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from overlab.core.errors import OverlabError
from overlab.platform import container_images
from overlab.platform.vm_image import EMULATED, GUEST, copy_files, start_kernel_with

SCRIPTS = sorted([*GUEST.glob("*.sh"), *container_images.FILES.rglob("*.sh")])
ENTRYPOINT = container_images.FILES / "consul/docker-entrypoint.sh"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_pass_shellcheck(script: Path) -> None:
    # SC2016: a script within single quotes is meant to be expanded elsewhere
    found = subprocess.run(["shellcheck", "-e", "SC2016", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_stages_of_cloud_init_run_in_order_in_one_process() -> None:
    runner = GUEST / "files/usr/local/lib/lab/cloud-init-stages"
    assert os.access(runner, os.X_OK)
    loops = [node for node in ast.walk(ast.parse(runner.read_text())) if isinstance(node, ast.For)]
    stages = next(ast.literal_eval(loop.iter) for loop in loops if isinstance(loop.iter, ast.Tuple))
    assert stages == (["init", "--local"], ["init"], ["modules", "--mode=config"])


def test_cloud_init_is_configured_for_nocloud_with_what_a_machine_is_given() -> None:
    config = yaml.safe_load((GUEST / "files/etc/cloud/cloud.cfg").read_text())
    assert config["datasource_list"] == ["NoCloud", "None"]
    assert config["disable_root"] is False
    assert {"write-files", "set_hostname", "users-groups", "ssh"} <= set(config["cloud_init_modules"])
    assert config["cloud_config_modules"] == ["runcmd"]
    assert "scripts-user" in config["cloud_final_modules"]
    (boot,) = [line for line in (GUEST / "files/boot/grub/grub.cfg").read_text().splitlines() if "root=" in line]
    assert {"root=LABEL=root", "net.ifnames=0", "ds=nocloud"} <= set(boot.split())


def test_only_an_emulated_machines_kernel_does_without_its_protection(tmp_path: Path) -> None:
    copy_files(GUEST / "files", tmp_path)

    def words() -> set[str]:
        lines = (tmp_path / "boot/grub/grub.cfg").read_text().splitlines()
        (boot,) = [line for line in lines if line.startswith("linux16 ")]
        assert lines[-1] == "boot"
        return set(boot.split())

    start_kernel_with(tmp_path, [])
    assert not {word.partition("=")[0] for word in words()} & {"mitigations", "nokaslr", "norandmaps", "apparmor"}
    start_kernel_with(tmp_path, EMULATED)
    assert {"mitigations=off", "nokaslr", "norandmaps", "apparmor=0", "root=LABEL=root"} <= words()


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    """A directory of programs that report how they were called, in front of the real ones."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "consul": '[ "$1" = --help ] && { [ "$2" = kv ] && echo "Usage: consul kv"; exit 0; }; echo "consul $*"',
        "id": "echo 1000",
        "ip": 'echo "2: $6    inet 10.9.8.7/24 brd 10.9.8.255 scope global $6"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    return programs


@pytest.mark.parametrize(
    ("arguments", "environment", "runs"),
    [
        (["agent", "-server"], {}, "consul agent -data-dir=/consul/data -config-dir=/consul/config -server"),
        (["-server"], {}, "consul -server"),
        (["kv", "get", "a b"], {}, "consul kv get a b"),
        (["version"], {}, "consul version"),
        (["echo", "plain command"], {}, "plain command"),
        (
            ["agent"],
            {"CONSUL_BIND_INTERFACE": "lab0", "CONSUL_CLIENT_INTERFACE": "lab0"},
            "consul agent -data-dir=/consul/data -config-dir=/consul/config -bind=10.9.8.7 -client=10.9.8.7",
        ),
    ],
)
def test_consuls_entry_point_has_the_manners_of_the_hubs(
    entry: Path, arguments: list[str], environment: dict[str, str], runs: str
) -> None:
    environment = {"PATH": f"{entry}:/usr/bin:/bin", **environment}
    done = subprocess.run(["sh", ENTRYPOINT, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{runs}\n", "")


def test_a_program_without_its_libraries_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported = "\tlinux-vdso.so.1 (0x0)\n\tlibgone.so.1 => not found\n"
    monkeypatch.setattr(container_images, "output", lambda _command: reported)
    with pytest.raises(OverlabError, match=r"needs libgone\.so\.1"):
        container_images._libraries(tmp_path, "usr/bin/thing")


def test_links_in_unpacked_packages_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/real").write_text("inside")
    (tmp_path / "lib/relative").symlink_to("real")
    (tmp_path / "absolute").symlink_to("/lib/relative")
    assert container_images._real(tmp_path, "absolute") == tmp_path / "lib/real"
