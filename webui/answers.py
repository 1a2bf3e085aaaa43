"""Answers of Flask's own class where its helpers promise only werkzeug's."""

from __future__ import annotations

from flask import Response, redirect


def see_other(address: str) -> Response:
    """Go on by GET at this address: after a change, or to sign in."""
    answer = redirect(address, 303, Response=Response)
    assert isinstance(answer, Response)
    return answer
