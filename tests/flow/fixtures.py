"""The story, once for the session: each chapter is told when a test first asks for it.

Chapters leave facts, never an open browser: a test anywhere may ask for them, in any order.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.flow import processes
from tests.flow import relay as relays
from tests.flow.camera import Devices, devices
from tests.flow.desk import Desk, browser, in_a_week, position_form, sign_in
from tests.flow.pressure import Waiting
from tests.flow.relay import Relay
from tests.flow.sitting import SAVED, Sitting
from tests.support import fake_camera, product, recorder, room, story
from tests.support.product import Product

MEDIA = Path(os.environ.get("FUPAN_TEST_MEDIA") or Path(__file__).resolve().parents[3] / "shared" / "media")
LEAD = 12.0  # seconds from the camera's opening to the speech: the check before the interview takes them
OUTAGE = 6.0
SHARING = "--auto-select-tab-capture-source-by-title=Whiteboard"

QUESTIONS = [
    ("Please introduce yourself.", 20, 120, "Please face the camera."),
    ("Which project are you proud of?", 0, 90, ""),
    ("What would you like to ask us?", 0, 60, ""),
]
ENGLISH = (
    "it was the first great sorrow of his life it was not so much the loss of the cotton itself "
    "but the fantasy the hopes the dreams built around it"
)
MANDARIN = "欢迎大家来体验达摩院推出的语音识别模型" + "广州市房地产中介协会分析"


@dataclass
class Hired:
    """What the recruiter did: positions' paths, whom they invited, what the page said, their link."""

    english: str
    mandarin: str
    said: str
    link_used: str
    anna: str = "anna@example.com"
    ming: str = "ming@example.com"


@dataclass
class Told:
    """One candidate's interview: what happened in the room, and what became of it."""

    sitting: Sitting
    seconds: list[float]  # by the browser's recorder, each camera epoch of the last page
    note: str
    profiles: list[Path]
    report: story.Result
    waited: float  # share of the time while it filmed in which something waited for a processor
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def recording(self) -> uuid.UUID:
        return self.sitting.recording


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """FUPAN_FLOW_POSTGRES=debian|embedded tells only the part of the story that runs on that database."""
    told = os.environ.get("FUPAN_FLOW_POSTGRES")
    if told not in ("debian", "embedded"):
        return
    left_out = [item for item in items if ("embedded" in _fixtures(item)) != (told == "embedded")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _fixtures(item: pytest.Item) -> tuple[str, ...]:
    return tuple(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Where cameras' files and browsers' profiles lie for the session."""
    made = Path(tempfile.mkdtemp(prefix="fupan-flow-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def person() -> Path:
    """A clip of one person speaking: the real one where there is one, else the demo's."""
    real = MEDIA / "face_and_voice_9s.mp4"
    return real if real.exists() else fake_camera.DEMO_CLIP


@pytest.fixture(scope="session")
def mail_relay() -> Iterator[tuple[Relay, int]]:
    with relays.running() as made:
        yield made


@pytest.fixture(scope="session")
def relay(mail_relay: tuple[Relay, int]) -> Relay:
    return mail_relay[0]


@pytest.fixture(scope="session")
def live(mail_relay: tuple[Relay, int]) -> Iterator[Product]:
    """The product on Debian's PostgreSQL 15, its mails going to a real relay."""
    if not room.CHROMIUM.exists():
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    if not product.DEBIAN_POSTGRES.exists():
        pytest.skip("PostgreSQL 15 is not installed (apt-get install postgresql-15)")
    settings = f'[smtp]\nhost = "127.0.0.1"\nport = {mail_relay[1]}\nsender = "hr@example.com"\n'
    settings += "[timing]\npull = 0.5\n"
    with product.running(postgres=product.DEBIAN_POSTGRES, language="en", more_settings=settings) as started:
        yield started


@pytest.fixture(scope="session")
def embedded() -> Iterator[Product]:
    """The product as `make run` starts it: the bundled PostgreSQL, with its demo."""
    with product.running(language="en", demo=True) as started:
        yield started


@pytest.fixture(scope="session")
def recruiter(live: Product) -> Desk:
    return Desk(live, "recruiter")


@pytest.fixture(scope="session")
def auditor(live: Product) -> Desk:
    return Desk(live, "auditor")


# --- position, invite --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def hired(live: Product, recruiter: Desk, relay: Relay, folder: Path) -> Hired:
    """The recruiter signs in by the one-time link, makes a position in the browser and invites by mail."""
    link = live.sign_in_link()
    with browser(folder / "recruiter") as context:
        page = sign_in(context, link)
        page.goto(f"{live.settings.staff_url}/positions/new")
        page.fill("#f-title", "Data engineer")
        page.select_option("#f-language", "en")
        for number, (text, prep, answer, hint) in enumerate(QUESTIONS):
            if number:
                page.click("[data-rows=t-question] ~ p [data-add]")
            row = page.locator("[data-rows=t-question] > li").nth(number)
            row.locator("[name=question_text]").fill(text)
            row.locator("[name=question_prep]").fill(str(prep))
            row.locator("[name=question_answer]").fill(str(answer))
            row.locator("[name=question_hint]").fill(hint)
        for number, (name, weight) in enumerate((("Delivery", "60"), ("Clarity", "40"))):
            if number:
                page.click("[data-rows=t-competency] ~ p [data-add]")
            row = page.locator("[data-rows=t-competency] > li").nth(number)
            row.locator("[name=competency_name]").fill(name)
            row.locator("[name=weight]").fill(weight)
        page.click("text=Save position")
        page.wait_for_selector("#f-people")
        english = page.url.split("?")[0]
        page.fill("#f-people", "Anna Adams, anna@example.com\nno address")
        page.fill("#f-deadline", in_a_week())
        page.click("#invite form button")
        page.wait_for_selector("#invite [role=status]")
        said = page.inner_text("#invite")
    form = position_form(
        live, "数据工程师", [("请介绍您自己。", 0, 120, "")], language="zh", screen="optional"
    )
    answer = recruiter.post("/positions", form=form)
    assert answer.status == 303, answer.text
    mandarin = answer.headers["Location"].split("?")[0]
    answer = recruiter.post(
        f"{mandarin}/invitations", form={"people": "明, ming@example.com", "deadline": in_a_week()}
    )
    assert answer.status == 200, answer.text
    return Hired(english.removeprefix(live.settings.staff_url), mandarin, said, link)


# --- check-in, record, ingest, seal, analyse ---------------------------------------------------------------


def speech(*names: str) -> list[Path]:
    found = [MEDIA / "speech" / name for name in names]
    return found if all(path.exists() for path in found) else [fake_camera.DEMO_CLIP]


@pytest.fixture(scope="session")
def anna(live: Product, hired: Hired, relay: Relay, folder: Path, person: Path) -> Told:
    """Three questions in English; the network is lost in the middle of the answer."""
    fed = devices(folder / "anna", person, speech("en_librispeech_1995-1837-0001.wav"), LEAD)
    return tell_anna(live, relay.link_to(hired.anna), fed, folder / "anna", OUTAGE)


def tell_anna(product: Product, link: str, fed: Devices, folder: Path, outage: float) -> Told:
    profile = folder / "profile"
    with browser(profile, *fed.arguments) as context:
        sitting = Sitting(context.pages[0], link)
        sitting.check_in()
        waiting = Waiting()
        note, pieces = three_answers(sitting, fed, outage)
        waited = waiting.share
        seconds = recorder.camera_seconds(sitting.page)
        started = sitting.watched()["epochs"][0]["started"]
        [media] = recorder.camera_bytes(sitting.page)
        facts = {"cookies": context.cookies(), "started": started, "media": media, "pieces": pieces}
    report = story.wait_for_report(product.settings, sitting.recording)
    return Told(sitting, seconds, note, [profile], report, waited, facts)


def three_answers(sitting: Sitting, fed: Devices, outage: float) -> tuple[str, int]:
    """Answer, mark, type, lose the network for a while, look away, finish; what was typed, and how many
    pieces waited at the end of the outage."""
    page = sitting.page
    assert sitting.heard_for() < fed.speech_from, "the check took longer than the silence before the speech"
    sitting.words["hint"] = page.text_content("#question-hint") or ""
    sitting.words["number"] = page.text_content("#question-number") or ""
    with sitting.during("answer"):
        sitting.advance()  # from thinking to answering
    sitting.mark()
    note = secrets.token_urlsafe(48)
    sitting.type_note(note)
    with sitting.during("offline"):
        page.context.set_offline(True)
        room.until(page, lambda: "Offline since" in (page.text_content(SAVED) or ""))
    page.wait_for_timeout(outage * 1000)
    sitting.words["offline"] = page.text_content(SAVED) or ""
    sitting.words["elapsed"] = page.text_content("#elapsed") or ""
    waiting = sitting.waiting()
    with sitting.during("online"):
        page.context.set_offline(False)
        room.until(page, lambda: "Offline since" not in (page.text_content(SAVED) or ""))
    sitting.listen_until(fed.speech_to + 1.0)
    sitting.all_saved()
    with sitting.during("second"):
        sitting.advance()
    look_away(sitting)
    sitting.advance()
    page.wait_for_timeout(1500)
    sitting.finish()
    return note, waiting


def look_away(sitting: Sitting) -> None:
    """Another tab comes to the front for a second."""
    other = sitting.page.context.new_page()
    other.bring_to_front()
    sitting.words["while away"] = sitting.page.evaluate("document.visibilityState")
    other.wait_for_timeout(1000)
    other.close()
    sitting.page.bring_to_front()


@pytest.fixture(scope="session")
def ming(live: Product, hired: Hired, relay: Relay, folder: Path, person: Path) -> Told:
    """Mandarin, the screen as a second track; offline, reloaded, killed, and gone on with."""
    clips = speech("zh_funasr_example.wav", "zh_aishell_BAC009S0724W0121.wav")
    fed = devices(folder / "ming", person, clips, LEAD)
    profile, link = folder / "ming" / "profile", relay.link_to(hired.ming)
    with browser(profile, *fed.arguments, SHARING, locale="zh-CN") as context:
        page, board = context.pages[0], context.new_page()
        board.goto("data:text/html,<title>Whiteboard</title><h1>Shared</h1>")
        page.bring_to_front()
        sitting = Sitting(page, link)
        sitting.check_in()
        facts: dict[str, Any] = {"lang": page.get_attribute("html", "lang")}
        page.click("#share-screen")
        page.wait_for_selector("#screen-on:not([hidden])")
        waiting = Waiting()
        note = secrets.token_urlsafe(48)
        sitting.type_note(note)
        sitting.listen_until(fed.speech_to + 1.0)
        waited = waiting.share
        lose_network_reload(live, sitting, facts)
        room.kill_browser(profile)
    killed = shutil.copytree(profile, folder / "ming" / "killed", symlinks=True)
    processes.start(live, "intake")
    with browser(profile, *fed.arguments, locale="zh-CN") as context:
        last = Sitting(context.pages[0], link)
        last.come_back()
        last.all_saved()
        last.page.wait_for_timeout(2500)
        last.finish()
        seconds = recorder.camera_seconds(last.page)
    report = story.wait_for_report(live.settings, sitting.recording)
    return Told(sitting, seconds, note, [profile, killed], report, waited, facts)


def lose_network_reload(product: Product, sitting: Sitting, facts: dict[str, Any]) -> None:
    """No network and no server; the page is loaded anew all the same, and records on."""
    page = sitting.page
    question = page.text_content("#question-text") or ""
    page.context.set_offline(True)
    processes.stop(product, "intake")
    room.until(page, lambda: sitting.waiting() >= 2)
    page.reload()
    room.at(page, "room")
    expect(page.locator("#question-text")).to_have_text(question)
    expect(page.locator("#resumed")).to_be_visible()
    facts["resumed"] = page.text_content("#resumed")
    before = sitting.waiting()
    room.until(page, lambda: sitting.waiting() >= before + 2)
    facts["committed"] = sitting.committed()
