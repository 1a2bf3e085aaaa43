"""Documents in words that candidates get: consent texts, recording guide, mails; one file a language.

They are documents, not interface strings: a consent receipt holds the hash of the exact text, and a site
may replace a guide. So each language is written whole instead of going through the catalogues.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("zh", "en")
FOLDER = Path(__file__).parent


@cache
def consent_texts() -> dict[str, Any]:
    """{"version": …, language: {purpose: text}}, as a packet carries them."""
    texts: dict[str, Any] = json.loads((FOLDER / "consent.json").read_text(encoding="utf-8"))
    return texts


@cache
def guide(language: str) -> str:
    """What to prepare before recording; one tip a line."""
    return (FOLDER / f"guide.{language}.txt").read_text(encoding="utf-8").strip()
