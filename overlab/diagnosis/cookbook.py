"""The index of the cookbook, which ``python -m overlab.diagnosis.cookbook`` rewrites."""

from __future__ import annotations

from pathlib import Path

from overlab.diagnosis.catalogue import COOKBOOK, ENTRIES, SECTIONS

_BEGIN, _END = "<!-- index: begin -->\n", "<!-- index: end -->\n"


def index() -> str:
    """A row for each section: its error texts, and the ids in ``overlab status`` that it is about."""
    lines = ["| error text, or id in `overlab status` | section |", "|---|---|"]
    for group, sections in SECTIONS.items():
        lines.append(f"| **{group}** | |")
        for section, texts in sections.items():
            ids = [f"`{id_}`" for id_, entry in ENTRIES.items() if entry.section == section]
            lines.append(f"| {', '.join([texts, *ids])} | [{section}](#{section}) |")
    return "\n".join(lines) + "\n"


def updated(page: str) -> str:
    """The cookbook with the present index."""
    head, rest = page.split(_BEGIN)
    return f"{head}{_BEGIN}{index()}{_END}{rest.split(_END)[1]}"


if __name__ == "__main__":
    page = Path(COOKBOOK)
    page.write_text(updated(page.read_text("utf-8")), "utf-8")
