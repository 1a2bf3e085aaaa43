"""Invite: a mail with link, guide and deadline through a real relay, and a signed packet at intake."""

from __future__ import annotations

import pytest

from appliance import texts
from appliance.intake_folder import IntakeFolder
from appliance.tables import attempt
from tests.flow import quick
from tests.flow.desk import Desk
from tests.flow.fixtures import QUESTIONS, Hired
from tests.flow.relay import Relay, links_in
from tests.flow.rows import rows
from tests.support.product import Product


@pytest.mark.parametrize("form", ["plain", "html"])
def test_the_mail_has_link_guide_and_deadline(hired: Hired, relay: Relay, form: str) -> None:
    mail = relay.mail_to(hired.anna)
    assert mail["Content-Language"] == "en"
    body = mail.get_body((form,))
    assert body is not None
    said = " ".join(body.get_content().split())
    assert len(set(links_in(mail, form))) == 1
    tips = texts.guide("en").splitlines()
    assert len(tips) >= 3
    assert form == "html" or all(" ".join(tip.split()) in said for tip in tips)
    assert "UTC" in said


def test_rows_that_cannot_be_invited_are_left_with_their_reason(hired: Hired) -> None:
    assert "1 invitation is on its way." in hired.said
    assert "1 row could not be invited" in hired.said
    assert "no address" in hired.said


def test_the_packet_holds_what_the_page_shows_and_no_more(live: Product, hired: Hired, relay: Relay) -> None:
    recording = quick.browser_at(relay.link_to(hired.anna)).recording
    [packet] = IntakeFolder(live.settings.intake_folder).packets(recording).values()
    assert [each.text for each in packet.questions] == [text for text, *_ in QUESTIONS]
    assert packet.candidate_name == "Anna Adams"
    kept = b"".join(
        path.read_bytes() for path in (live.settings.intake_folder / "packets").rglob("*") if path.is_file()
    )
    assert str(recording).encode() in kept
    assert hired.anna.encode() not in kept


def test_a_second_browser_gets_a_fresh_link_by_mail(
    live: Product, hired: Hired, relay: Relay, recruiter: Desk
) -> None:
    first = quick.invited(recruiter, relay, hired.english, "twice")
    assert first.begin()[0] == 200
    second = quick.browser_at(relay.link_to("twice@example.com"))
    status, answer = second.begin()
    assert (status, answer["code"]) == (409, "bound_elsewhere")
    assert "mail" in answer["message"]
    fresh = relay.link_to("twice@example.com", number=2)
    third = quick.browser_at(fresh)
    assert third.secret != first.secret
    assert third.begin()[0] == 200
    assert second.begin()[0] != 200  # the earlier link is over
    assert first.api("GET", "/state")[1]["state"] == "superseded"
    [row] = rows(live, attempt, id=first.recording)
    assert row.generation == 2
