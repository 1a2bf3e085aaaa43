"""The glossary and the code use the same words."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from pathlib import Path

from appliance import domain

GLOSSARY = Path(__file__).resolve().parents[2] / "docs" / "glossary.md"


def names_in_code() -> list[str]:
    """Every class of domain.py, and every member of its enumerations."""
    names = []
    for name, found in vars(domain).items():
        if inspect.isclass(found) and found.__module__ == domain.__name__:
            names.append(name)
            if issubclass(found, enum.Enum):
                names += [f"{name}.{member.name}" for member in found]
            else:
                assert dataclasses.is_dataclass(found)
    return names


def test_glossary_has_exactly_the_names_of_the_code() -> None:
    section = GLOSSARY.read_text(encoding="utf-8").split("## Names in code")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE) == names_in_code()


def test_each_word_is_defined_once_with_its_chinese() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    rows = [row for row in rows if not set(row[0]) <= set("- ")]
    words = [word for word, _, _ in rows if word not in ("name", "word")]
    assert sorted(words) == sorted(set(words))
    for word, chinese, meaning in rows:
        assert meaning, word
        assert re.search(r"[一-鿿]", chinese), word
