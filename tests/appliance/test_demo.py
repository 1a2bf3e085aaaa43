"""What the embedded start puts in by itself: the demo interview, and one's own."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from sqlalchemy import func, select, update

from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role
from appliance.embedded import demo, people
from appliance.embedded.demo_browser import DemoBrowser, IntakeRefusedError
from appliance.tables import attempt, position
from tests.support import factory
from tests.support.site import Site
from webui import i18n


@pytest.fixture
def embedded(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose terminal has a recruiter and whose demo browser reaches intake without a network."""
    factory.make_user(site.settings, Role.RECRUITER, username=people.RECRUITER)

    def call(
        self: DemoBrowser, method: str, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        head = {"Content-Type": kind, "Authorization": f"Fupan {self._token}", **(headers or {})}
        where = f"/intake/recordings/{self._recording}{path}"
        answer = site.intake.open(where, method=method, data=raw, headers=head)
        if answer.status_code >= 300:
            raise IntakeRefusedError(what=f"{path} ({answer.status_code} {answer.text})")
        return answer.get_json()

    monkeypatch.setattr(DemoBrowser, "_call", call)
    return site


@pytest.fixture
def site(settings: Any, keyholder: Any) -> Site:
    return Site(settings, keyholder)


def test_an_interrupted_demo_is_finished_by_the_next_start(
    embedded: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DemoBrowser.answer

    def cut_short(self: DemoBrowser, ordinal: int) -> None:
        if ordinal == 3:
            raise IntakeRefusedError(what="the power went")
        whole(self, ordinal)

    with monkeypatch.context() as patched:
        patched.setattr(DemoBrowser, "answer", cut_short)
        with pytest.raises(IntakeRefusedError, match="the power went"):
            demo.put_in(embedded.settings)
    assert demo.put_in(embedded.settings)
    embedded.pull()
    assert not demo.put_in(embedded.settings)


def test_a_link_to_oneself_leaves_a_begun_interview_alone(embedded: Site) -> None:
    where = embedded.position()

    def own() -> uuid.UUID:
        link = people.self_invitation(embedded.settings, where)
        assert link is not None
        return uuid.UUID(link.rsplit("/", 1)[1].split("#")[0])

    first = own()
    assert own() == first
    for state in ("checked_in", "recording"):
        with transaction("worker", embedded.settings) as tx:
            tx.execute(update(attempt).where(attempt.c.id == first).values(state=state))
        generation = embedded.row(attempt, first).generation
        second = own()
        assert second != first
        assert embedded.row(attempt, first).generation == generation
        assert own() == second
        first = second


def test_a_link_to_oneself_stays_with_the_position_for_trying_out(embedded: Site) -> None:
    demo.put_in(embedded.settings)
    embedded.position()  # somebody hires meanwhile; this one is the newest
    link = people.self_invitation(embedded.settings)
    assert link is not None
    made = uuid.UUID(link.rsplit("/", 1)[1].split("#")[0])
    assert embedded.row(attempt, made).snapshot["title"] in people.TRY_OUT
    with transaction("staff", embedded.settings) as tx:
        tx.execute(update(position).where(position.c.title.in_(people.TRY_OUT)).values(closed_at=func.now()))
        before = tx.scalar(select(func.count()).select_from(attempt))
    assert people.self_invitation(embedded.settings) is None
    with transaction("staff", embedded.settings) as tx:
        assert tx.scalar(select(func.count()).select_from(attempt)) == before


def test_the_first_accounts_have_no_language_of_their_own(settings: Settings) -> None:
    people.ensure_first_accounts(settings)
    assert i18n.locale_of(people.terminal_user(settings).locale) is None
