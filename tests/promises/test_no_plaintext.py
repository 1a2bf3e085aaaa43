"""Promise: what a candidate shows, says and types, and what is kept about them, lies in the clear nowhere.

Sought after the whole story (recorded, sealed, analysed, replayed, a résumé and a note kept): the typed note,
the transcript, the link's secret, the media's own beginning and pieces of its pictures and sounds, résumés
and a reviewer's note; as they are, in UTF-16, base64, hexadecimal, forms and JSON. Where: the data folder
with the database's files and write-ahead log, every column, open files, mails, and the browsers' profiles,
one as a crash left it. test_no_plaintext_on_the_way.py watches what passes.
"""

from __future__ import annotations

import os
import re
import secrets
import uuid
from pathlib import Path

import pytest

from appliance.embedded.layout import Layout
from tests.flow.database import superuser, walk
from tests.flow.desk import Desk, browser
from tests.flow.fixtures import Told
from tests.flow.paperwork import Kept
from tests.flow.processes import open_files
from tests.flow.relay import Relay
from tests.support import story
from tests.support.canary import BLOCK, Canaries
from tests.support.product import Product

pytestmark = [pytest.mark.promise, pytest.mark.flow, pytest.mark.browser]

# What the container of every browser's recording says of itself; a MIME type spells none of them so.
MAGIC = {"codec": b"V_VP8", "sound": b"OpusHead", "head": bytes.fromhex("1a45dfa39f4286810142f7810142f281")}


@pytest.fixture(scope="module")
def told(anna: Told, ming: Told) -> list[Told]:
    return [anna, ming]


@pytest.fixture(scope="module")
def secrets_of(told: list[Told], kept: Kept, recruiter: Desk) -> Canaries:
    """Everything that only keys may show: what was kept by hand, and both interviews through replays."""
    canaries = Canaries(dict(MAGIC))
    for number, (data, word) in enumerate(zip(kept.resumes, kept.words, strict=True), start=1):
        canaries.media(f"résumé {number}", data)
        canaries.text(f"résumé {number}'s word", word)
    canaries.text("the reviewer's note", kept.note)
    canaries.text("the reviewer's changed note", kept.changed)
    for person, each in zip(("Anna", "Ming"), told, strict=True):
        view = recruiter.open_view(each.recording)
        canaries.text(f"{person}'s note", each.note)
        canaries.text(f"{person}'s link", each.sitting.link.split("#")[1])
        for name in ("camera", "screen") if person == "Ming" else ("camera",):
            canaries.media(f"{person}'s {name}", recruiter.track(view, name))
        if each.report.analysis == "done":
            for number, segment in enumerate(recruiter.document(view, "transcript")["segments"]):
                canaries.text(f"{person}'s words {number}", longest_words(segment["text"]))
    return canaries


def longest_words(text: str) -> str:
    """A stretch of a sentence without punctuation, long enough to be nobody else's."""
    return max(re.split(r"[^\w\s]", text), key=len).strip()[:24]


@pytest.fixture(scope="module")
def places(live: Product, told: list[Told], kept: Kept) -> dict[str, Path]:
    """Every folder in which the product keeps anything, by what it is."""
    layout, settings = Layout(live.data), live.settings
    assert settings.key_backup_folder is not None
    return {
        "vault": settings.vault_folder,
        "keys": settings.keys_folder,
        "key backups": settings.key_backup_folder,
        "intake": settings.intake_folder,
        "keyholder": live.data / "keyholder",
        "logs": layout.logs,
        "temporary files": layout.temporary,
        "mail": settings.spool_folder,
        "database": layout.postgres / "cluster" / "base",
        "write-ahead log": layout.postgres / "cluster" / "pg_wal",
    }


def test_nothing_lies_in_the_clear_on_the_servers(
    live: Product, secrets_of: Canaries, places: dict[str, Path], record_property: pytest.RecordProperty
) -> None:
    with superuser(live) as database:
        database.execute("CHECKPOINT")  # what only memory held is in the files now
    read, hits = secrets_of.scan([live.data])
    figure = (
        f"{len(secrets_of.needles)} secrets and spellings of them sought in {read / 1e6:.0f} MB of the "
        f"servers, {len(places)} places: {len(hits)} found"
    )
    print(figure)
    record_property("figure", figure)
    assert read > 50_000_000
    assert hits == []


def test_each_place_is_searched(places: dict[str, Path]) -> None:
    """What lies there in the clear would be found, in whichever spelling."""
    planted = Canaries()
    planted.text("planted", secrets.token_urlsafe(24) + "量")
    for name, folder in places.items():
        folder.mkdir(exist_ok=True)
        path = folder / f"planted-{uuid.uuid4()}"
        path.write_bytes(os.urandom(1000) + b"-".join(planted.needles.values()))
        try:
            _, hits = planted.scan([folder])
        finally:
            path.unlink()
        assert len(hits) == len(planted.needles), name


def test_no_open_file_holds_any_also_one_without_a_name(live: Product, secrets_of: Canaries) -> None:
    found = [f"{name} in {where}" for where, path in open_files(live) for name in secrets_of.in_file(path)[1]]
    assert found == []


def test_no_column_of_any_table_holds_any(
    live: Product, secrets_of: Canaries, record_property: pytest.RecordProperty
) -> None:
    """Each value as the superuser reads it: compressed and moved-out ones lie in no file in the clear."""
    with superuser(live) as database:
        hits, columns, size = walk(database, secrets_of)
        known = Canaries()
        known.text("a name for lists", "anna@example.com")
        expected, _, _ = walk(database, known)
    figure = f"{columns} columns of the database with {size / 1e6:.1f} MB: {len(hits)} found"
    print(figure)
    record_property("figure", figure)
    assert columns > 150
    assert hits == []
    assert any(hit.endswith("in candidate.email") for hit in expected)


def test_no_column_hides_what_postgresql_compresses(live: Product) -> None:
    """The control: text of the largest kind, in a database of its own."""
    planted = Canaries()
    planted.text("planted", secrets.token_urlsafe(24))
    text = (planted.needles["planted"].decode() + " ") * 5000
    with superuser(live) as database:
        database.execute("CREATE DATABASE control")
        try:
            with superuser(live, "control") as other:
                other.execute("CREATE TABLE public.notes (words text, bytes bytea)")
                other.execute("INSERT INTO notes VALUES (%s, %s)", (text, text.encode()))
                hits, _, _ = walk(other, planted)
        finally:
            database.execute("DROP DATABASE control WITH (FORCE)")
    assert {hit.rsplit(" in ", 1)[1] for hit in hits} == {"notes.words", "notes.bytes"}


def test_no_mail_says_any_but_the_link(relay: Relay, secrets_of: Canaries) -> None:
    assert relay.mails
    sent = b"".join(
        bytes(mail) + b"".join(part.get_payload(decode=True) or b"" for part in mail.walk())
        for mail in relay.mails
    )
    assert {name for name in secrets_of.found(sent) if "'s link" not in name} == set()
    assert any("'s link" in name for name in secrets_of.found(sent))


def test_nothing_lies_in_the_clear_in_the_candidates_browser(
    secrets_of: Canaries, told: list[Told], record_property: pytest.RecordProperty
) -> None:
    page_writes = secrets_of.without("'s link")
    profiles = [profile for each in told for profile in each.profiles]
    read, hits = page_writes.scan(profiles)
    figure = f"{read / 1e6:.0f} MB in {len(profiles)} browser profiles: {len(hits)} found"
    print(figure)
    record_property("figure", figure)
    assert read > 1_000_000
    assert hits == []


def test_the_same_search_finds_each_of_them_where_it_is(
    secrets_of: Canaries, told: list[Told], recruiter: Desk, tmp_path: Path
) -> None:
    for number, needle in enumerate(secrets_of.needles.values()):
        lead = os.urandom(BLOCK - len(needle) // 2)  # across the border of two blocks
        (tmp_path / f"{number}.planted").write_bytes(lead + needle + os.urandom(100))
    _, hits = secrets_of.scan([tmp_path])
    assert {hit.split(" in /")[0] for hit in hits} >= set(secrets_of.needles)
    (tmp_path / "opened").mkdir()
    for each in told:
        view = recruiter.open_view(each.recording)
        (tmp_path / "opened" / f"{uuid.uuid4()}.webm").write_bytes(recruiter.track(view))
        for name in ("timeline", *(["transcript"] if each.report.analysis == "done" else [])):
            data = recruiter.get(f"{view}/documents/{name}.json").body
            (tmp_path / "opened" / f"{uuid.uuid4()}.json").write_bytes(data)
    _, hits = secrets_of.scan([tmp_path / "opened"])
    found = {hit.split(" in /")[0] for hit in hits}
    opened = re.compile(r"(Anna|Ming)'s (note|words \d+|camera \d+)|codec|sound")
    assert found >= {name for name in secrets_of.needles if opened.fullmatch(name)}


def test_a_page_that_wrote_it_would_be_found(secrets_of: Canaries, told: list[Told], tmp_path: Path) -> None:
    """The control for the browser's own way of writing: its database is compressed where it can be."""
    note = told[0].note
    with browser(tmp_path / "careless") as context:
        page = context.pages[0]
        page.goto(told[0].sitting.link.split("#")[0].replace("/i/", "/i/sw.js#"))
        page.evaluate(
            """async (note) => {
              localStorage.setItem("careless", note);
              const request = indexedDB.open("careless", 1);
              request.onupgradeneeded = () => request.result.createObjectStore("notes");
              const db = await new Promise((done) => { request.onsuccess = () => done(request.result); });
              const writing = db.transaction("notes", "readwrite", { durability: "strict" });
              writing.objectStore("notes").put(new TextEncoder().encode(note), 1);
              await new Promise((done) => { writing.oncomplete = done; });
            }""",
            note,
        )
    _, hits = secrets_of.scan([tmp_path / "careless"])
    assert any("IndexedDB" in hit for hit in hits)


@pytest.fixture
def replayed(live: Product, told: list[Told], folder: Path) -> Path:
    """The profile of a member of staff who watched."""
    profile = folder / f"watched-{uuid.uuid4()}"
    with browser(profile) as context:
        page = story.sign_in(context, live.sign_in_link())
        story.open_replay(page, live.settings, told[0].recording)
        story.plays(page)
        story.seek(page, 5)
    return profile


def test_watching_leaves_nothing_in_the_viewers_browser(
    secrets_of: Canaries, replayed: Path, record_property: pytest.RecordProperty
) -> None:
    read, hits = secrets_of.scan([replayed])
    record_property("figure", f"{read / 1e6:.0f} MB in a viewer's browser: {len(hits)} found")
    assert hits == []


def test_keeping_leaves_nothing_in_the_recruiters_browser(
    secrets_of: Canaries, kept: Kept, record_property: pytest.RecordProperty
) -> None:
    read, hits = secrets_of.scan([kept.profile])
    record_property("figure", f"{read / 1e6:.0f} MB in a recruiter's browser: {len(hits)} found")
    assert read > 1_000_000
    assert hits == []
