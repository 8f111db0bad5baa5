"""The pages in docs: their YAML means what they say, and their links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from components import checks
from components.checks import kinds
from components.config.settings import SettingsError, parse
from overlab.diagnosis import causes, cookbook

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), PROJECT / "README.md"])
HOWTO = sorted((DOCS / "howto").glob("*.md"))
NODES: dict[str, Any] = {"nodes": {"docker01": {}, "docker02": {}, "docker03": {}}}
KINDS = set(kinds.KINDS)
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
def test_what_a_page_says_is_refused_is_refused_in_these_words(part: dict[str, Any], follows: tuple[str, str]) -> None:
    words, text = follows
    assert words == "text", "the refusal stands in the next block"
    with pytest.raises(SettingsError) as caught:
        parse(NODES | part, "dev")
    said = [line.strip() for line in str(caught.value).splitlines()]
    shown = [line.strip() for line in text.splitlines()]
    assert [line for line in said if line in shown] == shown
    assert len(caught.value.problems) == sum(line.startswith("lab.") for line in shown)


def test_no_page_is_left_out() -> None:
    assert {words for page in HOWTO for words, _ in blocks(page)} <= {"yaml", "yaml refused", "text"}
    index = (DOCS / "howto" / "README.md").read_text("utf-8")
    assert [page.name for page in HOWTO if page.name != "README.md" and f"({page.name})" not in index] == []


def test_every_check_that_a_page_names_exists() -> None:
    """Ids in code of the how-tos, such as ``shared:web6:web5``."""
    named, known = set(), set()
    for page in HOWTO:
        text = page.read_text("utf-8")
        named |= {
            (page.name, found)
            for found in re.findall(r"`((?:[a-z]+-)?[a-z]+:[a-z_0-9:]+)`", text)
            if found.split(":")[0] in KINDS
        }
        for words, block in blocks(page):
            if words == "yaml":
                settings = parse(NODES | yaml.safe_load(block), "dev")
                known |= {(page.name, check.id) for check in checks.matrix(settings)}
    assert named
    assert named - known == set()


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


def test_the_cookbook_has_every_cause_that_a_failure_may_point_at() -> None:
    missing = [anchor for anchor in causes.anchors() if anchor not in anchors(PROJECT / cookbook.FILE)]
    assert missing == []


def test_the_cookbooks_index_has_every_section() -> None:
    page = PROJECT / cookbook.FILE
    linked = {link.removeprefix("#") for link in _LINK.findall(page.read_text("utf-8")) if link.startswith("#")}
    headings = re.findall(r"^## +(.*)$", _BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    assert [heading for heading in headings if heading.lower().replace(" ", "-") not in linked] == []
