"""Small facts about Chinese and English text."""

from __future__ import annotations

import functools
import re

import opencc

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@functools.cache
def _to_simplified() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def simplified(text: str) -> str:
    """Traditional characters to Simplified; everything else as it is."""
    return _to_simplified().convert(text)


def normal(language: str) -> str:
    """`zh`, `en` or `auto` from a language tag such as `zh_Hans_CN`; what is unknown is detected."""
    tag = language.lower().replace("_", "-").split("-")[0]
    return tag if tag in ("zh", "en") else "auto"


def count_units(text: str, language: str) -> int:
    """Length of what was said: Chinese characters, a foreign word among them counting one; or words."""
    if language != "zh":
        return len(WORD.findall(text))
    return len(HAN.findall(text)) + len(WORD.findall(HAN.sub(" ", text)))


def error_rate(reference: list[str], heard: list[str]) -> float:
    """Edit distance of two token lists over the length of the reference."""
    row = list(range(len(heard) + 1))
    for i, wanted in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, found in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (wanted != found))
    return row[-1] / max(1, len(reference))
