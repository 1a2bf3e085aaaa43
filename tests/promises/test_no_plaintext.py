"""Promise: what a candidate shows, says and types lies in the clear on no disk, ours or theirs.

Sought after the whole story (recorded, sealed, analysed, replayed): the typed note, the transcript, the
link's secret, the media's own beginning and pieces of its pictures and sounds. Where: the data folder with
the database's files, its write-ahead log and its dump, and the browsers' profiles, one as a crash left it.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.embedded.layout import Layout
from appliance.embedded.postgres import PORT, SUPERUSER
from tests.flow.desk import Desk, browser
from tests.flow.fixtures import Told
from tests.support import product, story
from tests.support.product import Product

pytestmark = [pytest.mark.promise, pytest.mark.flow, pytest.mark.browser]

PIECE = 24  # bytes of media: nothing else holds the same by chance
PIECES = 12
BLOCK = 4 << 20
# What the container of every browser's recording says of itself; a MIME type spells none of them so.
MAGIC = {"codec": b"V_VP8", "sound": b"OpusHead", "head": bytes.fromhex("1a45dfa39f4286810142f7810142f281")}


@dataclass
class Canaries:
    """Name → the bytes that must not be found; the longest decides how blocks overlap."""

    needles: dict[str, bytes] = field(default_factory=dict)

    def text(self, name: str, text: str) -> None:
        self.needles[name] = text.encode()
        self.needles[f"{name} in UTF-16"] = text.encode("utf-16-le")

    def media(self, name: str, data: bytes) -> None:
        """Pieces of a track from all over it, varied enough to be nobody else's."""
        pick = random.Random(name)
        pieces: list[bytes] = []
        while len(pieces) < PIECES:
            at = pick.randrange(len(data) - PIECE)
            piece = data[at : at + PIECE]
            if len(set(piece)) > PIECE * 3 // 4:
                pieces.append(piece)
        self.needles |= {f"{name} {number}": piece for number, piece in enumerate(pieces)}

    def in_file(self, path: Path) -> tuple[int, set[str]]:
        """How many bytes were read, and what was found."""
        longest = max(len(needle) for needle in self.needles.values())
        found: set[str] = set()
        read, tail = 0, b""
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                read += len(block)
                window = tail + block
                found |= {name for name, needle in self.needles.items() if needle in window}
                tail = window[-longest:]
        return read, found

    def scan(self, folders: Iterable[Path]) -> tuple[int, list[str]]:
        """Every file below these folders: the bytes read, and each thing found with its place."""
        total, hits = 0, []
        for path in files(folders):
            try:
                read, found = self.in_file(path)
            except OSError:  # a running product also removes files
                continue
            total += read
            hits += [f"{name} in {path}" for name in sorted(found)]
        return total, hits


def files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for where, _, names in os.walk(folder):
            for path in (Path(where) / name for name in names):
                if path.is_file() and not path.is_symlink():
                    yield path


@pytest.fixture(scope="module")
def told(anna: Told, ming: Told) -> list[Told]:
    return [anna, ming]


@pytest.fixture(scope="module")
def secrets_of(told: list[Told], recruiter: Desk) -> Canaries:
    """Everything that only keys may show, read through replays of both interviews."""
    canaries = Canaries(dict(MAGIC))
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
def dump(live: Product, told: list[Told], folder: Path) -> Path:
    """The database as its superuser can read it: what compressed values say in the clear."""
    layout = Layout(live.data)
    path = folder / "dump" / "fupan.sql"
    path.parent.mkdir(exist_ok=True)
    password = json.loads((layout.secrets / "database.json").read_text())["superuser"]
    subprocess.run(
        [
            product.DEBIAN_POSTGRES / "bin" / "pg_dump",
            f"--host={layout.postgres / 'socket'}",
            f"--port={PORT}",
            f"--username={SUPERUSER}",
            f"--file={path}",
            live.settings.database.name,
        ],
        env={"PGPASSWORD": password, "PATH": os.environ["PATH"]},
        check=True,
        timeout=60,
    )
    assert str(told[0].recording).encode() in path.read_bytes()
    return path.parent


def test_nothing_lies_in_the_clear_on_the_servers(
    live: Product, secrets_of: Canaries, dump: Path, record_property: pytest.RecordProperty
) -> None:
    assert (live.data / "postgres" / "cluster" / "pg_wal").is_dir()
    read, hits = secrets_of.scan([live.data, dump])
    figure = (
        f"{len(secrets_of.needles)} secrets sought in {read / 1e6:.0f} MB of the servers: {len(hits)} found"
    )
    print(figure)
    record_property("figure", figure)
    assert read > 50_000_000
    assert hits == []


def test_nothing_lies_in_the_clear_in_the_candidates_browser(
    secrets_of: Canaries, told: list[Told], record_property: pytest.RecordProperty
) -> None:
    page_writes = Canaries({name: each for name, each in secrets_of.needles.items() if "'s link" not in name})
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
    sought = {name for name in secrets_of.needles if "UTF-16" not in name and "link" not in name}
    assert found >= {name for name in sought if "screen" not in name and name != "head"}


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
