"""Links lead somewhere: pages, files, anchors, make targets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from documentation.blocks import DOCS, PAGES, ROOT, anchors, blocks, name_of, prose


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_pages_lead_somewhere(page: Path):
    broken = []
    for path, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", prose(page)):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert not broken


def test_no_page_leads_out_of_the_repository_but_by_a_url():
    for page in PAGES:
        for path in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", prose(page)):
            assert (page.parent / path).resolve().is_relative_to(ROOT), page


def test_the_make_targets_that_the_pages_name_are_there():
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z][\w-]*)`", prose(page)))
        named |= {word for block in blocks(page, "sh") for word in re.findall(r"^make ([a-z][\w-]*)", block.text, re.M)}
        assert named <= targets, page


def test_the_readme_leads_to_every_page_that_helps_to_begin():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"(docs/{one.name})" in readme for one in DOCS.glob("*.md") if one.name != "benchmarks.md")
