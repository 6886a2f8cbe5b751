"""The pages and their blocks: what is Python runs, `hitherto` commands run, what they print is what the page says.

A page says in a comment what it begins with:

    <!-- begins with: the example -->
    <!-- begins with: the example, materialized -->

Then the folder that its blocks run in has a copy of the example in `feature_repo/`. Without one the folder is empty. The
blocks of a page run in order, and its Python blocks share their names. In a Python block, lines that begin with `#>`, or
`# >` as the formatter writes it, are what the block prints. A `text` block after a `sh` block shows what the last command printed: `...` stands for anything.
Python that is not to run is marked `py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "feature_repo" / "README.md", *DOCS.rglob("*.md")])
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_BEGIN = re.compile(r"^<!-- begins with: (?P<what>[\w, ]+) -->$", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)
BEGINNINGS = ("the example", "the example, materialized")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page, all or those of some languages."""
    return [one for one in _blocks(page) if not languages or one.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    content = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(content):
        indent = len(found["indent"])
        text = "".join(line[indent:] or "\n" for line in found["text"].splitlines(keepends=True))
        yield Block(page, content.count("\n", 0, found.start()) + 2, found["language"], text)


def beginning(page: Path) -> str | None:
    """What the page begins with, if it says."""
    found = _BEGIN.search(page.read_text(encoding="utf-8"))
    return found["what"] if found else None


def prose(page: Path) -> str:
    """A page without its blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    return {_anchor(found["text"]) for found in _HEADING.finditer(prose(page))}


def _anchor(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
