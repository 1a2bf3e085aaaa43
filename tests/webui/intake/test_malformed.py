"""What no page sends is refused with 422, never with a fault of the server."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from tests.support.candidate import Candidate

Begun = Callable[..., Candidate]
SIGNATURE = base64.b64encode(bytes(64)).decode()


@pytest.mark.parametrize("track", [[], {}, 1, None])
def test_a_track_that_is_no_name(begun: Begun, track: object) -> None:
    candidate = begun()
    listed = {**candidate.epoch().listed(), "track": track}
    status, answer = candidate.api("POST", "/finish", json=candidate.signed("finish", epochs=[listed]))
    assert (status, answer["code"]) == (422, "bad_field")


@pytest.mark.parametrize("path", ["/consent", "/withdraw", "/finish"])
def test_half_a_surrogate_pair_in_a_statement(begun: Begun, path: str) -> None:
    body = {"statement": "\ud800", "signature": SIGNATURE}
    status, answer = begun().api("POST", path, data=json.dumps(body))
    assert (status, answer["code"]) == (422, "bad_field")


def test_half_a_surrogate_pair_in_a_page(begun: Begun) -> None:
    candidate = begun()
    key = base64.b64encode(candidate.public_key).decode()
    body = {"secret": candidate.secret, "browser_key": key, "page": "\ud800", "signature": SIGNATURE}
    status, answer = candidate.api("POST", "/begin", data=json.dumps(body))
    assert (status, answer["code"]) == (422, "bad_field")
