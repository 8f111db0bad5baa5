"""Stack files are read as Pulumi reads them, or refused with a place where readers differ or reading fails."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from components.config import settings as lab_settings
from components.config import stack_file, yaml_reader
from components.config.problems import Problem
from components.config.settings import SettingsError

LAB = """\
config:
  overlab:lab:
    nodes:
      docker01: {}
    networks:
      one: {created_on: docker01}
    workloads:
      t1: {node: docker01, networks: [one], command: [sleep, %s]}
"""


def problems(directory: Path, content: str | bytes) -> dict[str, Problem]:
    data = content if isinstance(content, bytes) else content.encode()
    (directory / "Pulumi.x.yaml").write_bytes(data)
    with pytest.raises(SettingsError) as caught:
        lab_settings.from_stack_file(directory, "x")
    return {problem.path: problem for problem in caught.value.problems}


ARGUMENT = "lab.workloads.t1.command.1"
AMBIGUOUS = [
    *["yes", "No", "on", "OFF", "y", "n"],
    *["0777", "08", "0o17", "0x1F", "0b11", "+5", "1_000", "1_0.5"],
    *["22:22", "1:30:00", "2001-01-01", "2001-01-01T01:02:03Z"],
]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_what_readers_take_for_different_things(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, LAB % text)
    assert set(found) == {ARGUMENT}
    assert found[ARGUMENT].value == json.dumps(text)
    assert "quotes" in found[ARGUMENT].remedy
    (tmp_path / "Pulumi.x.yaml").write_text(LAB % f'"{text}"')
    assert lab_settings.from_stack_file(tmp_path, "x").workloads["t1"].command == ("sleep", text)


@pytest.mark.parametrize("text", ["1e3", "20.10", ".5", "1.", ".inf", "-.inf", ".nan", "5", "-0", "true", "9" * 30])
def test_a_number_or_a_truth_is_no_text(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, LAB % text)[ARGUMENT].remedy == "write text; put it in quotes"


@pytest.mark.parametrize("text", ["~", "null", "{}", "[]"])
def test_nothing_is_no_text(tmp_path: Path, text: str) -> None:
    assert ARGUMENT in problems(tmp_path, LAB % text)


@pytest.mark.parametrize("text", ["=", "1.5.3", "10.99.0.1", "1:60", "0x", "0b2", "1e", "5m", "_1", "tRUE", "ü"])
def test_plain_text_is_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "Pulumi.x.yaml").write_text(LAB % text, "utf-8")
    assert lab_settings.from_stack_file(tmp_path, "x").workloads["t1"].command == ("sleep", text)


AS_PULUMI_READS = {
    # what `pulumi config get` of Pulumi 3.259.0 prints for it
    "true": True,
    "True": True,
    "tRUE": "tRUE",
    "Null": None,
    "~": None,
    "1e3": 1000,
    "1e+5": 100000,
    "1e": "1e",
    "20.10": 20.1,
    "1.": 1,
    ".5": 0.5,
    "-0": 0,
    "=": "=",
    "!!str 5": "5",
    "!!str yes": "yes",
    "1:60": "1:60",
    "0x": "0x",
    "0b2": "0b2",
    "_1": "_1",
    "+": "+",
    ".": ".",
    "5m": "5m",
    "10.99.0.0/24": "10.99.0.0/24",
    "100000000000000000": 100000000000000000,
    "9223372036854775807": 9223372036854775807,
    "12345678901234567890123": 1.2345678901234568e22,
}


@pytest.mark.parametrize("text", AS_PULUMI_READS)
def test_a_plain_value_is_read_as_pulumi_reads_it(text: str) -> None:
    value, ambiguous = yaml_reader.read(f"key: {text}\n")
    assert value == {"key": AS_PULUMI_READS[text]}
    assert not ambiguous


FILES: list[tuple[str, str | bytes, str, str]] = [
    ("empty", "", "(file)", "a mapping with the key config"),
    ("comments alone", "# nothing\n", "(file)", "a mapping with the key config"),
    ("a list", "- config\n", "(file)", "a mapping with the key config"),
    ("text", "config\n", "(file)", "a mapping with the key config"),
    ("config is a list", "config: [1]\n", "config", "a mapping of keys"),
    ("config is text", "config: yes\n", "config", "a mapping of keys"),
    ("a lab that is a list", "config:\n  overlab:lab: [1]\n", "lab", "mapping"),
    ("a lab that is text", 'config:\n  overlab:lab: "{}"\n', "lab", "mapping"),
    ("a tab", "config:\n\toverlab:lab: {}\n", "(file)", "valid YAML"),
    ("not UTF-8", b"config:\n  overlab:lab: {name: \xe9\xff}\n", "(file)", "UTF-8 text"),
    ("UTF-16", "config: {}\n".encode("utf-16"), "(file)", "UTF-8 text"),
    ("a NUL", "config:\n  a: \0\n", "(file)", "valid YAML"),
    ("a control character", 'config:\n  a: "\x1b"\n', "(file)", "valid YAML"),
    ("an open quote", 'config: "x\n', "(file)", "valid YAML"),
    ("an open bracket", "config: [\n", "(file)", "valid YAML"),
    ("bad indentation", "config:\n  a: 1\n b: 2\n", "(file)", "valid YAML"),
    ("two documents", "config: {}\n---\nconfig: {}\n", "(file)", "one valid YAML document"),
    ("a key twice", "config:\n  overlab:lab:\n    nodes: {a1: {}, a1: {}}\n", "lab.nodes.a1", "each key once"),
    (
        "a section twice",
        "config:\n  overlab:lab:\n    nodes: {a1: }\n    nodes: {a2: }\n",
        "lab.nodes",
        "each key once",
    ),
    ("config twice", "config: {}\nconfig: {}\n", "config", "each key once"),
    ("a tag", "config:\n  overlab:lab:\n    nodes: !!python/object:os.system {a1: {}}\n", "lab.nodes", "no YAML tags"),
    ("a tag on text", "config:\n  overlab:lab: {name: !!int x}\n", "lab.name", "no YAML tags"),
    ("a merge key", "config:\n  overlab:lab:\n    nodes: {<<: {a1: {}}}\n", 'lab.nodes."<<"', "no merge keys"),
    ("a list as key", "config:\n  overlab:lab:\n    nodes: {? [a] : {}}\n", "lab.nodes", "keys are plain text"),
    ("a number as key", "config:\n  overlab:lab:\n    nodes: {1: {}}\n", "lab.nodes.1", "a name is text"),
    ("nothing as key", "config:\n  overlab:lab:\n    nodes: {~: {}}\n", "lab.nodes.None", "a name is text"),
    ("yes as key", "config:\n  overlab:lab:\n    workloads: {on: {}}\n", "lab.workloads.on", "every YAML reader"),
    ("no such anchor", "config: *nothing\n", "(file)", "undefined alias"),
    ("an endless alias", "config: &a {b: *a}\n", "(file)", "no alias inside its own anchor"),
    ("another key of ours", "config:\n  overlab:lb: {}\n", "config.overlab:lb", "unknown key"),
    ("a key of no one", "config:\n  labs: {}\n", "config.labs", "unknown key"),
    ("our key twice", "config:\n  overlab:lab: {}\n  lab: {}\n", "config.lab", "not beside overlab:lab"),
    ("too large", "# " + "x" * (1 << 20), "(file)", "at most 1 MiB"),
    ("too deep", "config: " + "[" * 5000, "(file)", "at most 32 levels"),
    ("too deep, in blocks", "".join(f"{' ' * depth}a:\n" for depth in range(500)), "(file)", "at most 32 levels"),
]


@pytest.mark.parametrize(("content", "path", "rule"), [file[1:] for file in FILES], ids=[file[0] for file in FILES])
def test_a_file_that_cannot_be_right(tmp_path: Path, content: str | bytes, path: str, rule: str) -> None:
    found = problems(tmp_path, content)
    assert path in found
    assert rule in found[path].rule
    assert found[path].remedy


def test_a_place_is_a_line_and_a_column(tmp_path: Path) -> None:
    assert problems(tmp_path, "config:\n  a: 1\n\tb: 2\n")["(file)"].value == "line 3, column 1"
    assert "line 2" in problems(tmp_path, b"config:\n  \xff: 1\n")["(file)"].value


def test_aliases_that_explode_are_refused_in_no_time(tmp_path: Path) -> None:
    lines = ['a0: &a0 "lol"', *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20))]
    begun = time.process_time()
    found = problems(tmp_path, "\n".join(lines) + "\n")
    assert "at most 200000 values" in found["(file)"].rule
    assert time.process_time() - begun < 2


def test_an_alias_stands_for_what_it_names(tmp_path: Path) -> None:
    text = "config:\n  overlab:lab:\n    nodes: {a1: &small {machine: {memory_mib: 600}}, a2: *small}\n"
    (tmp_path / "Pulumi.x.yaml").write_text(text)
    nodes = lab_settings.from_stack_file(tmp_path, "x").nodes
    assert [node.machine.memory_mib for node in nodes.values()] == [600, 600]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_do_not_matter(tmp_path: Path, ending: str, mark: str) -> None:
    text = mark + (LAB % "a").replace("\n", ending)
    (tmp_path / "Pulumi.x.yaml").write_bytes(text.encode())
    assert lab_settings.from_stack_file(tmp_path, "x").workloads["t1"].command == ("sleep", "a")


def test_ambiguous_values_outside_the_lab_do_not_matter(tmp_path: Path) -> None:
    text = LAB % "a" + "  aws:region: yes\n  pulumi:tags: {on: 0777}\nencryptionsalt: v1:0x\n"
    (tmp_path / "Pulumi.x.yaml").write_text(text)
    assert lab_settings.from_stack_file(tmp_path, "x").name == "x"


def test_ambiguous_and_wrong_values_are_reported_together_and_each_once(tmp_path: Path) -> None:
    text = "nodes: {a1: }, engine: {live_restore: yes, firewall: 3}, store: {kind: x}"
    found = problems(tmp_path, f"config:\n  overlab:lab: {{{text}}}\n")
    assert set(found) == {"lab.engine.live_restore", "lab.engine.firewall", "lab.store.kind"}
    assert "true or false" in found["lab.engine.live_restore"].remedy


@pytest.mark.parametrize("stack", ["", "../x", "a/b", "a\0b", "a\nb", "x" * 300, "\udcff"])
def test_a_stack_whose_name_is_none(tmp_path: Path, stack: str) -> None:
    with pytest.raises(SettingsError) as caught:
        lab_settings.from_stack_file(tmp_path, stack)
    assert [problem.path for problem in caught.value.problems] == ["(stack)"]
    assert str(caught.value).replace("\n", "").isprintable()


def test_a_file_that_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.x.yaml").mkdir()
    with pytest.raises(SettingsError, match="can be read"):
        lab_settings.from_stack_file(tmp_path, "x")


def test_a_stack_that_sets_nothing_has_the_projects_default(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("config:\n  overlab:lab:\n    type: object\n    default: {nodes: {a7: {}}}\n")
    (tmp_path / "Pulumi.x.yaml").write_text("config: {}\n")
    assert list(lab_settings.from_stack_file(tmp_path, "x").nodes) == ["a7"]
    (tmp_path / "Pulumi.x.yaml").write_text("config:\n  lab: {nodes: {a8: {}}}\n")
    assert list(lab_settings.from_stack_file(tmp_path, "x").nodes) == ["a8"]


def test_the_shipped_default_is_a_valid_lab() -> None:
    raw = stack_file.default(Path(__file__).parents[2])
    assert list(lab_settings.parse(raw, "dev").nodes) == ["docker01", "docker02", "docker03"]


def test_the_first_nodes_are_the_first_by_name_as_for_pulumi(tmp_path: Path) -> None:
    nodes = "".join(f"      {name}: {{}}\n" for name in ("n9", "n3", "n1", "n2"))
    (tmp_path / "Pulumi.x.yaml").write_text(
        f"config:\n  overlab:lab:\n    store: {{kind: consul, servers: 3}}\n    nodes:\n{nodes}"
    )
    assert lab_settings.from_stack_file(tmp_path, "x").store_nodes == ("n1", "n2", "n3")
