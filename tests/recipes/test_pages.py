"""What holds for every page of docs/recipes."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from page import INSTALL, PAGES, ROOT, blocks

NAMES = sorted(path.stem for path in PAGES.glob("*.md") if path.stem != "README")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[\w-]+)?\)")


def links(name: str) -> list[Path]:
    """Files that a page links to."""
    return [(PAGES / target).resolve() for target in LINK.findall((PAGES / f"{name}.md").read_text())]


def test_the_index_has_every_page() -> None:
    assert {path.stem for path in links("README") if path.parent == PAGES} == set(NAMES)


@pytest.mark.parametrize("name", ["README", *NAMES])
def test_links_lead_to_files(name: str) -> None:
    assert [str(path) for path in links(name) if not path.exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_shows_stands_in_a_file_that_it_links(name: str) -> None:
    texts = [path.read_text() for path in links(name) if path.is_file() and path.suffix != ".md"]
    for block in blocks(name):
        if block.language == "sh":
            assert block.name, f"the test cannot run a block without a name: {block.text}"
        elif block.language != "text":
            shown = textwrap.dedent(block.text)
            assert any(shown in textwrap.dedent(text) or block.text in text for text in texts), shown


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_installs_is_what_the_tests_have(name: str) -> None:
    for block in blocks(name):
        if block.name == INSTALL:
            (requirements,) = re.findall(r"-r (\S+)", block.text)
            assert (ROOT / requirements).parent.parent == ROOT / "examples/recipes"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_a_test(name: str) -> None:
    assert (Path(__file__).parent / f"test_{name.replace('-', '_')}.py").is_file()
