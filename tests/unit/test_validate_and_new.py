"""``overlab validate`` and ``overlab new``: no platform is needed, results are valid, comments are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from components.config import settings as lab_settings
from overlab import cli
from overlab.cli import application
from overlab.config import change, new, validate
from overlab.stack import remembered

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in PROJECT.glob("Pulumi*.yaml"):
        # Who has used a stack in this checkout may have its salt there.
        lines = [line for line in path.read_text().splitlines(keepends=True) if not line.startswith("encryptionsalt")]
        (tmp_path / path.name).write_text("".join(lines))
    for module in (application, change, new, remembered, validate):
        monkeypatch.setattr(module, "checkout", lambda: tmp_path)
    # Neither tools nor a state directory are looked for.
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_STATE_HOME", "/nonexistent")
    return tmp_path


def overlab(*args: str) -> Result:
    return CliRunner().invoke(cli.app, list(args))


def settings(project: Path, stack: str) -> lab_settings.Settings:
    return lab_settings.from_stack_file(project, stack)


# -- validate


def test_every_shipped_stack_is_valid_and_none_is_in_anothers_way() -> None:
    result = overlab("validate", "--all")
    assert result.exit_code == 0, result.output
    assert result.output.count(": valid; ") == len(validate.every_stack())
    assert "cannot run at once" not in result.output


def test_every_error_is_listed_for_people(project: Path) -> None:
    (project / "Pulumi.bad.yaml").write_text(
        "config:\n  overlab:lab: {nodes: {a: {}}, machine: {vcpu: 0}, store: {kind: x}}\n"
    )
    result = overlab("validate", "--stack", "bad")
    assert result.exit_code == 2
    assert all(path in result.output for path in ("3 problems", "lab.nodes.a ", "lab.machine.vcpu ", "lab.store.kind "))


def test_every_error_is_listed_for_programs(project: Path) -> None:
    (project / "Pulumi.bad.yaml").write_text("config:\n  overlab:lab: {nodes: {a: {}}, machine: {vcpu: 0}}\n")
    (project / "Pulumi.broken.yaml").write_bytes(b"\xff")
    result = overlab("validate", "--all", "--json")
    assert result.exit_code == 2
    found = json.loads(result.output)
    stacks = {item["stack"]: item for item in found["stacks"]}
    assert not found["valid"]
    assert stacks["dev"] == {"stack": "dev", "valid": True, "problems": []}
    assert [problem["path"] for problem in stacks["bad"]["problems"]] == ["lab.machine.vcpu", "lab.nodes.a"]
    assert [problem["path"] for problem in stacks["broken"]["problems"]] == ["(file)"]
    assert stacks["bad"]["problems"][0] == {
        "path": "lab.machine.vcpu",
        "value": "0",
        "rule": "at least 1",
        "remedy": "write 1 or more",
    }


def test_a_missing_stack_is_an_error() -> None:
    result = overlab("validate", "--stack", "nowhere")
    assert result.exit_code == 2
    assert "stacks here: ci, dev" in result.output


@pytest.mark.parametrize(
    ("change", "why"), [("10.99.0.0/25", "10.99.0.0/25 and 10.99.0.0/24 overlap"), ("name", "both labs are named dev")]
)
def test_labs_that_cannot_run_at_once_are_named(project: Path, change: str, why: str) -> None:
    text = (project / "Pulumi.ci.yaml").read_text()
    text = text.replace("    underlay:\n", "    name: dev\n    underlay:\n") if change == "name" else text
    (project / "Pulumi.ci.yaml").write_text(text if change == "name" else text.replace("10.98.0.0/24", change))
    result = overlab("validate", "--all")
    assert result.exit_code == 0
    assert why in result.output


# -- new


@pytest.mark.parametrize("source", ["dev", "ci", "plain", "site"])
def test_a_new_stack_differs_in_its_network_alone(project: Path, source: str) -> None:
    result = overlab("new", "mine", "--from", source)
    assert result.exit_code == 0, result.output
    before, after = ((project / f"Pulumi.{stack}.yaml").read_text().splitlines() for stack in (source, "mine"))
    old, made = settings(project, source), settings(project, "mine")
    prefix = str(old.underlay.cidr).rsplit(".", 1)[0] + "."
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert changed
    assert all(prefix in one for one, _ in changed)
    assert made.name == "mine"
    assert made.networks == old.networks
    assert overlab("validate", "--all").output.count("cannot run at once") == 0


def test_stated_addresses_move_with_the_network(project: Path) -> None:
    overlab("new", "mine", "--from", "site")
    old, made = settings(project, "site"), settings(project, "mine")
    assert made.underlay.cidr != old.underlay.cidr
    assert {key: node.address.packed[-1] for key, node in made.nodes.items()} == {
        key: node.address.packed[-1] for key, node in old.nodes.items()
    }


def test_many_new_stacks_can_all_run_at_once(project: Path) -> None:
    for index in range(12):
        assert overlab("new", f"s{index}").exit_code == 0
    assert overlab("validate", "--all").output.count("cannot run at once") == 0
    assert len({str(settings(project, f"s{index}").underlay.cidr) for index in range(12)}) == 12


def test_changes_are_made_at_their_paths(project: Path) -> None:
    changes = ["machine.memory_mib=2048", "nodes.docker04={}", 'engine.version="20.10.5"', "underlay.cidr=10.77.0.0/24"]
    result = overlab("new", "mine", "--from", "ci", *(part for change in changes for part in ("--set", change)))
    assert result.exit_code == 0, result.output
    made = settings(project, "mine")
    assert {node.machine.memory_mib for node in made.nodes.values()} == {2048}
    assert str(made.nodes["docker04"].address) == "10.77.0.14"
    assert made.engine.version == "20.10.5"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["dev"], 1, "Pulumi.dev.yaml exists already"),
        (["mine", "--from", "nowhere"], 2, "the stack's settings file exists"),
        (["mine", "--set", "machine.memory_mib=1"], 2, "lab.machine.memory_mib = 1"),
        (["mine", "--set", "underlay.cidr=10.0.0.9/24"], 2, "without host bits"),
        (["mine", "--from", "site", "--set", "underlay.cidr=10.9.0.0/28"], 2, "inside the underlay"),
        (["mine", "--set", "machine.memory_mib"], 1, "is no change"),
        (["mine", "--set", "machine..x=1"], 1, "is no path"),
        (["mine", "--set", "machine=[1"], 1, "is no YAML"),
        (["mine", "--set", "underlay.cidr.x=1"], 1, "cidr is no mapping"),
        (["mine", "--set", "engine.live_restore=yes"], 2, "write true or false"),
        (["mine", "--set", "name=ci"], 1, "is named ci already"),
        (["Mine"], 2, "lab.name"),
        (["../mine"], 2, "(stack)"),
        (["a" * 21], 2, "at most 20 characters"),
    ],
)
def test_nothing_is_written_where_it_would_be_wrong(project: Path, args: list[str], code: int, message: str) -> None:
    before = sorted(project.rglob("*"))
    result = overlab("new", *args)
    assert result.exit_code == code, result.output
    assert message in result.output
    assert sorted(project.rglob("*")) == before


def test_what_is_one_stacks_secret_is_no_others(project: Path) -> None:
    path = project / "Pulumi.ci.yaml"
    path.write_text(f"{path.read_text()}encryptionsalt: v1:salt\n")
    assert overlab("new", "mine", "--from", "ci").exit_code == 0
    assert "salt" not in (project / "Pulumi.mine.yaml").read_text()
    path.write_text(path.read_text().replace("config:\n", "config:\n  other:token: {secure: v1:text}\n"))
    result = overlab("new", "another", "--from", "ci")
    assert result.exit_code == 1
    assert "holds secrets" in result.output


def test_another_stacks_broken_file_does_not_matter(project: Path) -> None:
    (project / "Pulumi.broken.yaml").write_bytes(b"\xff")
    assert overlab("new", "mine").exit_code == 0


def test_a_change_of_a_new_stack_moves_no_comment(project: Path) -> None:
    assert overlab("new", "mine", "--set", "machine.kind=container").exit_code == 0
    before, after = ((project / f"Pulumi.{stack}.yaml").read_text().splitlines() for stack in ("dev", "mine"))
    kept = [line for line in before if "10.99." not in line]
    assert [line for line in after if line in kept] == kept
    [added] = [line for line in after if line.strip() == "kind: container"]
    assert after[after.index(added) - 2].strip().startswith(("machine:", "vcpu", "memory_mib"))


# -- set


def test_set_changes_a_value_and_shows_it(project: Path) -> None:
    file = project / "Pulumi.ci.yaml"
    file.chmod(0o640)
    before = file.read_text()
    changes = ["machine.memory_mib=1536", 'workloads.web1.ports[0]="91:80"', "--unset", "store.acl"]
    result = overlab("set", "--stack", "ci", *changes)
    assert result.exit_code == 0, result.output
    assert "-      memory_mib: 1024\n+      memory_mib: 1536\n" in result.output
    assert "next: overlab up --stack ci" in result.output
    after = file.read_text()
    assert after == before.replace("1024", "1536").replace('["90:80"]', '["91:80"]').replace("      acl: true\n", "")
    assert file.stat().st_mode & 0o777 == 0o640
    assert overlab("set", "--stack", "ci", "machine.memory_mib=1536").output == "nothing to change\n"


def test_set_keeps_what_pulumi_stored_in_the_file(project: Path) -> None:
    file = project / "Pulumi.ci.yaml"
    file.write_text(f"encryptionsalt: v1:salt\n{file.read_text()}")
    assert overlab("set", "-s", "ci", "machine.vcpu=2").exit_code == 0
    assert file.read_text().startswith("encryptionsalt: v1:salt\n# The smallest lab")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 1, "no change was given"),
        (["machine.memory_mib=1"], 2, "lab.machine.memory_mib = 1"),
        (["machine.memory_mib"], 1, "is no change"),
        (["--stack", "nowhere", "a=1"], 2, "the stack's settings file exists"),
        (["--unset", "nodes.docker01"], 2, "lab."),
    ],
)
def test_set_writes_nothing_where_it_would_be_wrong(project: Path, args: list[str], code: int, message: str) -> None:
    before = {path: path.read_bytes() for path in project.glob("*")}
    result = overlab("set", "--stack", "ci", *args)
    assert result.exit_code == code, result.output
    assert message in result.output
    assert {path: path.read_bytes() for path in project.glob("*")} == before


def test_a_file_with_several_problems_can_be_corrected_one_by_one(project: Path) -> None:
    file = project / "Pulumi.bad.yaml"
    file.write_text(file.with_name("Pulumi.ci.yaml").read_text().replace("vcpu: 1", "vcpu: 0").replace(": tls", ": x"))
    assert overlab("set", "-s", "bad", "machine.vcpu=1").exit_code == 0
    assert overlab("set", "-s", "bad", "engine.api=tls").exit_code == 0
    assert overlab("validate", "-s", "bad").exit_code == 0


def test_set_does_not_rename_a_lab_that_the_stack_has(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "labs_of", lambda _: ["ci"])
    before = (project / "Pulumi.ci.yaml").read_text()
    result = overlab("set", "-s", "ci", "name=other")
    assert result.exit_code == 1
    assert "stack ci has the lab ci, and its settings name the lab other now" in result.output
    assert (project / "Pulumi.ci.yaml").read_text() == before


def test_set_gives_a_renamed_lab_its_name_back(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "labs_of", lambda _: ["ci"])
    file = project / "Pulumi.ci.yaml"
    file.write_text(file.read_text().replace("    underlay:", "    name: other\n    underlay:"))
    assert overlab("set", "-s", "ci", "name=ci").exit_code == 0


def test_set_refuses_a_file_that_is_no_yaml(project: Path) -> None:
    (project / "Pulumi.broken.yaml").write_bytes(b"\xff")
    result = overlab("set", "-s", "broken", "name=x")
    assert (result.exit_code, "UTF-8 text" in result.output) == (2, True)
