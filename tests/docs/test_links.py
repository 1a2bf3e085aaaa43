"""The pages for readers: what they link to is there, both READMEs tell the same, no place is invented."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    missing = [link for link in targets if not (page.parent / link).exists()]
    assert missing == []


def test_both_readmes_have_the_same_commands_pictures_and_links() -> None:
    english, chinese = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
    )
    for pattern in (r"^```sh\n(.*?)```", r"!\[[^]]*\]\(([^)]+)\)", r"`([A-Z]+=[^`]*)`", r"`(make \w+)`"):
        found = [re.findall(pattern, text, re.MULTILINE | re.DOTALL) for text in (english, chinese)]
        assert found[0] == found[1]
        assert found[0]
    targets = [set(LINK.findall(text)) - {"README.md", "README.zh-CN.md"} for text in (english, chinese)]
    assert targets[0] == targets[1]


def test_readme_names_only_commands_that_exist() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    for command in set(re.findall(r"\bmake ([a-z-]+)", text)):
        assert re.search(rf"^make {command}\s", listed, re.MULTILINE), command


def test_every_pinned_dependency_is_on_the_page_about_them() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    lock = (ROOT / "installer" / "requirements" / "runtime.txt").read_text()
    words = set(re.findall(r"[a-z0-9-]+", page.replace("_", "-")))
    named_with_another = {"psycopg-binary", "psycopg-pool", "argon2-cffi-bindings"}
    pinned = re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)
    assert [name for name in pinned if name not in words | named_with_another] == []
