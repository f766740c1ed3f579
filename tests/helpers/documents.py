"""The README and the pages of the site, as text: their code, and where they lead."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("[!_]*/*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def code(page, word):
    """Return the block of Python of a page that has a word."""
    found = [block for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S) if word in block]
    assert len(found) == 1, (page, word, len(found))
    return found[0]


def links(page):
    """Return where a page leads: (what is between the parentheses, the line it is in)."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    return re.findall(r"\]\(([^)\s]+)\)", text)
