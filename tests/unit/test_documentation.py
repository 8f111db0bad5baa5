"""The pages in docs: their YAML is valid, and their links have targets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer
import yaml

from components import checks
from components.config.settings import SettingsError, parse, read_stack_file
from overlab import cli
from overlab.checks.select import select
from overlab.diagnosis import catalogue, cookbook

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *PROJECT.glob("*.md")])
HOWTO = sorted((DOCS / "howto").glob("*.md"))
NODES: dict[str, Any] = {"nodes": {"docker01": {}, "docker02": {}, "docker03": {}}}
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def blocks(page: Path) -> list[tuple[str, str]]:
    """What stands after the fence, and the text of each block."""
    return [(found[1].strip(), found[2]) for found in _BLOCK.finditer(page.read_text("utf-8"))]


def parts(kind: str) -> Iterator[Any]:
    for page in HOWTO:
        found = blocks(page)
        for number, (words, text) in enumerate(found):
            if words == kind:
                follows = found[number + 1] if number + 1 < len(found) else ("", "")
                yield pytest.param(yaml.safe_load(text), follows, id=f"{page.stem}-{number}")


def checks_of(page: Path) -> tuple[checks.Check, ...]:
    """The checks of the labs that a how-to shows."""
    labs = [parse(NODES | yaml.safe_load(block), "dev") for words, block in blocks(page) if words == "yaml"]
    return tuple(check for lab in labs for check in checks.matrix(lab))


def anchors(page: Path) -> set[str]:
    """The sections of a page, as a link names them."""
    text = _BLOCK.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("part", "follows"), list(parts("yaml")))
def test_what_a_page_shows_is_valid_and_checked(part: dict[str, Any], follows: tuple[str, str]) -> None:
    settings = parse(NODES | part, "dev")
    found = [check.id for check in checks.matrix(settings)]
    assert found
    assert len(found) == len(set(found))


@pytest.mark.parametrize(("part", "follows"), list(parts("yaml refused")))
def test_settings_that_a_page_shows_as_refused_are_refused_with_that_message(
    part: dict[str, Any], follows: tuple[str, str]
) -> None:
    words, text = follows
    assert words == "text", "the refusal stands in the next block"
    with pytest.raises(SettingsError) as caught:
        parse(NODES | part, "dev")
    reported = [line.strip() for line in str(caught.value).splitlines()]
    shown = [line.strip() for line in text.splitlines()]
    assert [line for line in reported if line in shown] == shown
    assert len(caught.value.problems) == sum(line.startswith("lab.") for line in shown)


def test_a_stack_file_beside_a_compose_file_declares_the_same() -> None:
    """Every service is the workload of its name: the nodes apart, with the same values of the same keys."""
    [(compose, (words, text))] = [part.values for part in parts("yaml compose")]
    stack = yaml.safe_load(text)
    assert words == "yaml"
    for name, service in compose["services"].items():
        if "network_mode" in service:
            service["network_mode"] = service["network_mode"].replace("service:", "container:")
        service |= {
            key: stack["workloads"][name][key] for key in ("node", "http_port") if key in stack["workloads"][name]
        }
    for name, network in compose["networks"].items():
        [addresses] = network.pop("ipam", {}).get("config", [{}])
        network |= addresses | {"created_on": stack["networks"][name]["created_on"]}
    assert {"workloads": compose["services"], "networks": compose["networks"]} == stack


def test_no_page_is_left_out() -> None:
    kinds = {"yaml", "yaml refused", "yaml compose", "text"}
    assert {words for page in HOWTO for words, _ in blocks(page)} <= kinds
    index = (DOCS / "howto" / "README.md").read_text("utf-8")
    assert [page.name for page in HOWTO if page.name != "README.md" and f"({page.name})" not in index] == []


def test_every_check_that_a_page_names_exists() -> None:
    """Ids in code of the how-tos, such as ``shared:web6:web5``. Compose's ``service:web`` is none."""
    named, known = set(), set()
    for page in HOWTO:
        text = page.read_text("utf-8")
        named |= {
            (page.name, found)
            for found in re.findall(r"`((?:[a-z]+-)?[a-z]+:[a-z_0-9:]+)`", text)
            if found.split(":")[0] not in {"container", "overlab", "service"}
        }
        known |= {(page.name, check.id) for check in checks_of(page)}
    assert named
    assert named - known == set()


def test_every_command_that_a_page_shows_exists_with_its_options() -> None:
    """``overlab`` where a command begins: indented, in a console, in code or in a shell's substitution."""
    shown, whole = 0, typer.main.get_command(cli.app)
    for page in [page for page in PAGES if page.name != "CHANGELOG.md"]:
        for words in re.findall(r"(?:^ {4}|^\$ |`|\$\(|bin/|&& )overlab ([^`)|#&\n]+)", page.read_text("utf-8"), re.M):
            command: Any = whole
            for word in words.partition(" -- ")[0].split():
                if hasattr(command, "commands") and not word.startswith("-") and command.commands.get(word):
                    command = command.commands[word]
                elif word.startswith("-"):
                    assert word in {name for option in command.params for name in option.opts}, f"{page.name}: {words}"
            assert not hasattr(command, "commands"), f"{page.name}: no such command: {words}"
            shown += 1
    assert shown > 100


def test_every_make_target_that_a_page_shows_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text("utf-8"), re.MULTILINE))
    shown = {name for page in PAGES for name in re.findall(r"(?:^ {4}|`)make ([a-z-]+)", page.read_text("utf-8"), re.M)}
    assert {"up", "test"} <= shown <= targets


def test_every_selection_of_checks_that_a_page_shows_selects_some() -> None:
    """Words after ``--only``: in the labs of the page, or in the stack ``dev`` where it has none."""
    dev = checks.matrix(parse(read_stack_file(PROJECT, "dev"), "dev"))
    shown = 0
    for page in PAGES:
        only = [word.strip("'") for word in re.findall(r" --only ('[^']+'|[\w:*-]+)", page.read_text("utf-8"))]
        shown += len(only)
        assert select((checks_of(page) if page in HOWTO else ()) or dev, only), page.name
    assert shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text("utf-8"))
    for link in _LINK.findall(text):
        if "://" in link:
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}: no such file"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}: no such section"


def test_the_cookbook_has_the_sections_of_the_catalogue_and_no_other() -> None:
    text = _BLOCK.sub("", (PROJECT / catalogue.COOKBOOK).read_text("utf-8"))
    headings = [heading.lower().replace(" ", "-") for heading in re.findall(r"^## +(.*)$", text, re.MULTILINE)]
    assert headings == [section for sections in catalogue.SECTIONS.values() for section in sections]


def test_the_cookbooks_index_is_that_of_the_catalogue() -> None:
    page = (PROJECT / catalogue.COOKBOOK).read_text("utf-8")
    assert page == cookbook.updated(page), "run: python -m overlab.diagnosis.cookbook"
