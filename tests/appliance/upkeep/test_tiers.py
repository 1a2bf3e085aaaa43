"""A site on two tiers: seal, analyse and replay wherever files lie, and what moves them."""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from appliance import child, documents, jobs, vaults
from appliance.audit.log import Action, Actor
from appliance.config import Settings, VaultSettings
from appliance.database import transaction
from appliance.domain import Tier
from appliance.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    StorageDownError,
)
from appliance.keyholder.client import Keyholder
from appliance.reading import health
from appliance.stages import replay
from appliance.stages.replay.damage import BeingRepairedError
from appliance.tables import analysis, document, recording, replay_view
from appliance.upkeep import tiers
from appliance.vaults import vault_of
from storage.vault import IntegrityError, StoreDown, VaultFull, check, copy_files
from tests.appliance.stages.test_analyse import observing, pack  # noqa: F401 - a fixture
from tests.support import factory, seaweedfs
from tests.support.media import recorded
from tests.support.site import Site

DAYS = 30
ALL = ("cold.json", "camera")


def site_on(
    hot: str, cold: str, settings: Settings, keyholder: Keyholder, request: pytest.FixtureRequest
) -> Site:
    """A site with tiers of these kinds; a hot one on disk is the usual."""
    places: dict[str, Any] = {"cold_after_days": DAYS, "cold": str(settings.data / "archive")}
    if "s3" in (hot, cold):
        store: seaweedfs.Store = request.getfixturevalue("seaweed")
        key = {"access_key": seaweedfs.KEY, "secret_key": seaweedfs.SECRET}
        (settings.secrets_folder / "s3.json").write_text(json.dumps(key))
        place = f"s3://{seaweedfs.BUCKET}/{uuid.uuid4()}"
        places |= {"endpoint": store.endpoint, "cold" if cold == "s3" else "hot": place}
    return Site(replace(settings, vault=VaultSettings(**places)), keyholder)


@pytest.fixture
def site(settings: Settings, keyholder: Keyholder, request: pytest.FixtureRequest) -> Site:
    return site_on("disk", "disk", settings, keyholder, request)


@pytest.fixture(params=["disk disk", "s3 disk", "disk s3"])
def anywhere(settings: Settings, keyholder: Keyholder, request: pytest.FixtureRequest) -> Site:
    return site_on(*request.param.split(), settings, keyholder, request)


def tier_of(site: Site, made: uuid.UUID) -> tuple[str, set[str]]:
    """Where the row says a recording is, and where its files are."""
    return site.row(recording, made).tier, {file.tier for file in vault_of(site.settings).list(made)}


def whole(site: Site, made: uuid.UUID) -> bytes:
    view = replay.open_view(site.settings, site.recruiter, made)
    with replay.open_track(site.settings, view, "camera") as file:
        return b"".join(file.pieces(0, file.size))


def age(site: Site, made: uuid.UUID, days: float = DAYS + 1) -> None:
    with transaction("worker", site.settings) as tx:
        at = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
        tx.execute(update(recording).where(recording.c.id == made).values(sealed_at=at))


def moves(site: Site, made: uuid.UUID) -> int:
    return site.actions("recording", made).count(Action.VAULT_MOVE)


def test_the_whole_way(
    anywhere: Site,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sealed, analysed, replayed; moved by the policy, replayed and analysed again from there."""
    made = anywhere.sealed_but_not_analysed(list(recorded()))
    request.getfixturevalue("pack")
    read: list[int] = []

    def look(asked: dict[str, Any], _more: object) -> None:
        read.extend(len(os.pread(each["fd"], 1 << 20, 0)) for each in [*asked["tracks"], asked["timeline"]])

    monkeypatch.setattr(child, "run", observing(look))
    anywhere.run_jobs()
    names = {row.name for row in anywhere.rows(document, recording_id=made)}
    assert names >= {documents.TIMELINE, *documents.ANALYSED}
    assert len(read) == 2
    assert min(read) > 100
    before = whole(anywhere, made)
    assert tier_of(anywhere, made) == ("hot", {"hot"})

    with transaction("staff", anywhere.settings) as tx:
        tx.execute(update(replay_view).values(closed_at=dt.datetime.now(dt.UTC)))
    age(anywhere, made)
    with transaction("staff", anywhere.settings) as tx:
        tx.execute(
            update(replay_view).values(opened_at=dt.datetime.now(dt.UTC) - dt.timedelta(days=DAYS + 1))
        )
    files = vault_of(anywhere.settings).list(made)
    tiers.tier_by_policy(anywhere.work)
    anywhere.run_jobs()
    assert tier_of(anywhere, made) == ("cold", {"cold"})
    assert anywhere.actions("recording", made)[-1] == Action.VAULT_MOVE
    details = anywhere.last_details("recording", made)
    assert details["to"] == "cold"
    assert details["bytes"] == sum(file.bytes for file in files)
    assert [(each["name"], each["bytes"]) for each in details["files"]] == [
        (f"{file.kind}/{file.name}", file.bytes) for file in files
    ]
    assert all(len(each["sha256"]) == 64 for each in details["files"])
    assert check(vault_of(anywhere.settings)) == []

    assert whole(anywhere, made) == before
    view = replay.open_view(anywhere.settings, anywhere.recruiter, made)
    assert replay.document(anywhere.settings, view, "transcript") == b"{}"
    read.clear()
    with transaction("worker", anywhere.settings) as tx:
        tx.execute(update(analysis).values(state="queued"))
        jobs.enqueue(tx, "analyse", recording=str(made))
    anywhere.run_jobs()
    assert len(read) == 2
    assert tier_of(anywhere, made) == ("cold", {"hot", "cold"})  # what is written is written to the hot tier
    assert list((anywhere.settings.data / "drafts").glob("*")) == []


@pytest.fixture
def made(site: Site) -> uuid.UUID:
    return site.sealed(list(recorded()))


def test_only_what_nobody_opened_for_so_long_goes(site: Site) -> None:
    old, opened, fresh, busy = (site.sealed(list(recorded())) for _ in range(4))
    for each in (old, opened, busy):
        age(site, each)
    replay.open_view(site.settings, site.recruiter, opened)
    factory.set_analysis(site.settings, busy, "running")
    for _ in range(2):
        tiers.tier_by_policy(site.work)
        assert [job["recording"] for job in site.waiting_jobs("move")] == [str(old)]
    site.run_jobs()
    assert [tier_of(site, each)[0] for each in (old, opened, fresh, busy)] == ["cold", "hot", "hot", "hot"]
    tiers.tier_by_policy(site.work)
    assert site.waiting_jobs("move") == []


def test_what_somebody_opened_since_it_was_ordered_stays(site: Site, made: uuid.UUID) -> None:
    age(site, made)
    tiers.tier_by_policy(site.work)
    replay.open_view(site.settings, site.recruiter, made)
    site.run_jobs()
    assert (tier_of(site, made), moves(site, made)) == (("hot", {"hot"}), 0)


def test_without_a_policy_nothing_goes_by_itself(site: Site, made: uuid.UUID) -> None:
    age(site, made)
    for vault in (VaultSettings(), replace(site.settings.vault, cold_after_days=0)):
        tiers.tier_by_policy(jobs.Work(replace(site.settings, vault=vault), lambda: False))
    assert site.waiting_jobs("move") == []


def test_opening_brings_it_back_where_that_is_set(site: Site, made: uuid.UUID) -> None:
    age(site, made)
    tiers.tier_by_policy(site.work)
    site.run_jobs()
    whole(site, made)
    assert site.waiting_jobs("move") == []
    site.settings = replace(site.settings, vault=replace(site.settings.vault, recall=True))
    before = whole(site, made)
    assert [(job["to"], job["reason"]) for job in site.waiting_jobs("move")] == [("hot", "opened")]
    site.run_jobs()
    assert tier_of(site, made) == ("hot", {"hot"})
    assert whole(site, made) == before
    tiers.tier_by_policy(site.work)  # it was opened, so it stays for as long again
    assert site.waiting_jobs("move") == []


def test_a_person_orders_a_move(site: Site, made: uuid.UUID) -> None:
    who = Actor("unit", "cli", name="wang")
    for to in (Tier.COLD, Tier.HOT):
        tiers.order(site.settings, who, made, to)
        site.run_jobs()
        assert tier_of(site, made) == (to, {to})
        assert site.actions("recording", made)[-2:] == [Action.VAULT_ORDER_MOVE, Action.VAULT_MOVE]
    with pytest.raises(NotFoundError):
        tiers.order(site.settings, who, uuid.uuid4(), Tier.COLD)
    unsealed = factory.make_attempt(site.settings, site.department, None, "collecting")
    with pytest.raises(ConflictError):
        tiers.order(site.settings, who, unsealed, Tier.COLD)
    with pytest.raises(ConfigurationError, match=r"vault\.cold"):
        tiers.order(replace(site.settings, vault=VaultSettings()), who, made, Tier.COLD)


@pytest.mark.parametrize("point", ["second file", "row", "removal"])
def test_a_run_that_dies_anywhere_is_ended_by_the_next(
    site: Site, made: uuid.UUID, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    before = whole(site, made)
    order = {"recording": str(made), "to": "cold", "reason": "policy"}
    age(site, made)
    with transaction("staff", site.settings) as tx:
        tx.execute(
            update(replay_view).values(opened_at=dt.datetime.now(dt.UTC) - dt.timedelta(days=DAYS + 1))
        )

    def dies(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt  # as a process does, without a word

    def dies_after_one(*given: Any) -> Any:
        yield next(copy_files(*given))
        dies()

    with monkeypatch.context() as dying:
        place, what = {
            "second file": ("copy_files", dies_after_one),
            "row": ("_note", dies),
            "removal": ("drop_files", dies),
        }[point]
        dying.setattr(tiers, place, what)
        with pytest.raises(KeyboardInterrupt):
            tiers.move(site.work, **order)
    assert [finding.harmless for finding in check(vault_of(site.settings))] != []
    assert site.row(recording, made).tier == ("cold" if point == "removal" else "hot")
    with monkeypatch.context() as unwatched:  # a replay of this test's own would keep it hot
        unwatched.setattr(tiers, "_is_due", lambda *_: True)
        tiers.move(site.work, **order)
    assert tier_of(site, made) == ("cold", {"cold"})
    assert check(vault_of(site.settings)) == []
    assert whole(site, made) == before


@pytest.mark.parametrize(
    "outage", [StoreDown("unreachable", "no answer"), VaultFull("disk", "full"), OSError(28, "No space left")]
)
def test_a_store_that_is_away_ends_the_policys_round_and_a_persons_order_waits(
    site: Site, made: uuid.UUID, monkeypatch: pytest.MonkeyPatch, outage: Exception
) -> None:
    other = site.sealed(list(recorded()))
    for each in (made, other):
        age(site, each)
    tiers.tier_by_policy(site.work)

    def away(*_: object) -> Any:
        raise outage

    with monkeypatch.context() as down:
        down.setattr(tiers, "copy_files", away)
        site.run_jobs()
        assert site.waiting_jobs("move") == []
        tiers.order(site.settings, Actor("unit", "cli"), made, Tier.COLD)
        site.run_jobs()
        assert len(site.waiting_jobs("move")) == 1
    assert (moves(site, made), moves(site, other)) == (0, 0)
    assert tier_of(site, made) == ("hot", {"hot"})


def test_a_damaged_file_is_left_and_said_so(
    site: Site, made: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> Any:
        raise IntegrityError("replaced", "another file")

    monkeypatch.setattr(tiers, "copy_files", damaged)
    last = jobs.Work(site.settings, lambda: False, last=True)
    with pytest.raises(IntegrityError):
        tiers.move(last, recording=str(made), to="cold", reason="ordered")
    assert moves(site, made) == 1
    assert tier_of(site, made)[0] == "hot"


def test_a_cold_tier_that_is_away_is_no_damage(anywhere: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made = anywhere.sealed(list(recorded()))
    tiers.move(anywhere.work, recording=str(made), to="cold", reason="ordered")
    vault = vault_of(anywhere.settings)
    archive = anywhere.settings.data / "archive"
    if archive.exists():
        archive.rename(archive.with_name("unmounted"))
    else:
        monkeypatch.setattr(vault.cold, "_endpoint", "away")
        monkeypatch.setattr(vault.cold, "read", away_store)
    view = replay.open_view(anywhere.settings, anywhere.recruiter, made)
    monkeypatch.setattr(vaults, "STATE_SECONDS", 0.001)
    cold = health.health(anywhere.settings).stores[1]
    assert (cold.tier, cold.state) in [("cold", "missing"), ("cold", "unreachable")]
    for act in (
        lambda: replay.open_track(anywhere.settings, view, "camera"),
        lambda: replay.document(anywhere.settings, view, documents.TIMELINE),
    ):
        with pytest.raises(StorageDownError):
            act()


def away_store(*_: object) -> Any:
    raise StoreDown("unreachable", "no answer")


def test_a_file_that_is_on_no_tier_is_missing(site: Site, made: uuid.UUID) -> None:
    vault = vault_of(site.settings)
    for stored in list(vault.hot.list()):
        if "camera.fps" in stored.name:
            vault.hot.remove(stored.name)
    view = replay.open_view(site.settings, site.recruiter, made)
    with pytest.raises(BeingRepairedError):
        replay.open_track(site.settings, view, "camera")
