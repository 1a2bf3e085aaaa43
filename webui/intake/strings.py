"""Words that the modules put together while the page runs; everything else stands in the templates."""

from __future__ import annotations


def page_strings() -> dict[str, str]:
    """Texts by the name the modules know; {n} and the like are filled in the browser."""
    return {}
