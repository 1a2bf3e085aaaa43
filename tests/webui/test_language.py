"""Chinese first, English complete: nothing for people is left unwrapped, untranslated or badly set."""

from __future__ import annotations

import importlib
import io
import json
import pkgutil
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from gettext import GNUTranslations
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po
from flask import Flask

import appliance
import webui
from analysis import signals
from appliance import texts
from appliance.audit.log import Action
from appliance.config import Settings
from appliance.domain import AnalysisState, AttemptState, ConsentPurpose, RecordingState, Role
from appliance.errors import FupanError
from appliance.keyholder.client import Keyholder
from appliance.people.roles import allowed
from tests.support import erasure as erasing
from tests.support.desk import Desk, post
from tests.support.intake_site import IntakeSite
from webui import auth, i18n, words
from webui.intake.app import create_app as intake_app
from webui.staff import history, replay_words

ROOT = Path(webui.__file__).parent.parent
TEMPLATES = sorted((ROOT / "webui" / "templates").rglob("*.html"))
CATALOGUE = i18n.TRANSLATIONS / i18n.CHINESE / "LC_MESSAGES" / "messages.po"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
WORD = re.compile(r"[A-Za-z]{2,}")
PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}")

Key = tuple[str | None, str]


@cache
def catalogue() -> Catalog:
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale=i18n.CHINESE)


def messages() -> list[Message]:
    return [message for message in catalogue() if message.id]


def key(message: Message) -> Key:
    return message.context, message.id if isinstance(message.id, str) else message.id[0]


def forms(text: Any) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def translations() -> Iterator[tuple[str, str]]:
    """(English, Chinese) of every form."""
    for message in messages():
        for chinese in forms(message.string):
            yield forms(message.id)[-1], chinese


# --- the catalogue ------------------------------------------------------------------------------------------


def test_every_string_is_translated_and_none_is_a_guess() -> None:
    assert len(messages()) > 500
    assert [key(each) for each in messages() if not all(forms(each.string)) or each.fuzzy] == []


def test_the_catalogue_holds_exactly_the_strings_of_the_code() -> None:
    """Fails when a string was added or changed without `make translations` and its Chinese."""
    config = (i18n.TRANSLATIONS / "babel.cfg").read_text(encoding="utf-8")
    method_map, options = parse_mapping_cfg(io.StringIO(config))
    found = {
        (context, text if isinstance(text, str) else text[0])
        for _file, _line, text, _comments, context in extract_from_dir(ROOT, method_map, options)
    }
    kept = {key(each) for each in messages()}
    assert {"missing": found - kept, "left over": kept - found} == {"missing": set(), "left over": set()}


def test_parameters_are_the_same_in_both_languages() -> None:
    for english, chinese in translations():
        assert sorted(PLACEHOLDER.findall(english)) == sorted(PLACEHOLDER.findall(chinese)), english
        assert english.count("%%") == chinese.count("%%"), english


def test_what_is_compiled_is_what_is_written() -> None:
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)
    for message in messages():
        if isinstance(message.id, str):
            context = message.context
            found = compiled.pgettext(context, message.id) if context else compiled.gettext(message.id)
        else:
            found = compiled.ngettext(*message.id, 2)
        assert found == forms(message.string)[-1]


def test_each_error_that_people_may_see_is_in_the_catalogue() -> None:
    for package in (appliance, webui):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "migrations" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    known = {text for _context, text in map(key, messages())}
    seen = [FupanError]
    for each in seen:
        seen += each.__subclasses__()
        if each.__module__.startswith(("appliance", "webui")):
            assert each.message in known, each


# --- typesetting --------------------------------------------------------------------------------------------


def chinese_texts() -> Iterator[str]:
    for _english, chinese in translations():
        yield chinese
    yield from texts.consent_texts()["zh"].values()
    yield texts.guide("zh")
    yield (texts.FOLDER / "invitation.zh.txt").read_text(encoding="utf-8")
    yield re.sub(
        r"```.*?```|`[^`]*`|\[[^]]*\]\([^)]*\)",
        "…",
        (ROOT / "README.zh-CN.md").read_text("utf-8"),
        flags=re.S,
    )


def test_chinese_is_typeset() -> None:
    wrong = {
        "half-width punctuation behind": r"[\u4e00-\u9fff”）]([,;:!?()\"']|\.(?!\w))",
        "half-width punctuation before": r"[,;:!?(\"'][\u4e00-\u9fff]",
        "a space inside": r"[\u4e00-\u9fff，。；：！？（）、] +[\u4e00-\u9fff，。；：！？（）、]",
        "no space beside a Latin word or a number": r"[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]",
        "a space before a percent sign": r"\d %|s %%",
    }
    for text in chinese_texts():
        plain = re.sub(r"\{[{%].*?[%}]\}", "￼", text, flags=re.S)
        for fault, pattern in wrong.items():
            assert not re.search(pattern, PLACEHOLDER.sub("￼", plain)), (fault, text)


def test_the_same_word_everywhere() -> None:
    """Words that have another one in docs/glossary.md, or that nobody should write."""
    for text in chinese_texts():
        for other in (
            "职位",
            "应聘者",
            "帐号",
            "账户",
            "登陆",
            "保险箱",
            "抄本",
            "转写",
            "招聘人员",
            "密钥进程",
            "观测信号",
            "审计日志",
            "稽核",
            "你",
            "雇佣",
        ):
            assert other not in text, (other, text)


# --- words for what the code names ----------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    return intake_app(IntakeSite(tmp_path).settings)


def in_chinese(app: Flask) -> Any:
    return app.test_request_context("/?lang=zh")


def test_pages_say_what_the_glossary_says(app: Flask) -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    meant = dict(re.findall(r"^\| `(\w+\.\w+)` \| ([^|]+) \|", glossary, re.M))
    with in_chinese(app):
        said = {f"Role.{each.name}": words.role(each) for each in Role}
        said |= {f"AttemptState.{each.name}": words.attempt_state(each)[0] for each in AttemptState}
        said |= {f"RecordingState.{each.name}": words.recording_state(each)[0] for each in RecordingState}
        said |= {f"AnalysisState.{each.name}": words.analysis_state(each)[0] for each in AnalysisState}
    # an analysis says more behind its word: how far it is, or why it ended
    assert {name: shown[: len(meant[name])] for name, shown in said.items()} == {
        name: meant[name] for name in said
    }


def test_states_roles_actions_and_signals_have_chinese_names(app: Flask) -> None:
    with in_chinese(app):
        said = [words.attempt_state(each)[0] for each in AttemptState]
        said += [words.recording_state(each)[0] for each in RecordingState]
        said += [words.analysis_state(each)[0] for each in AnalysisState]
        reasons = ("no_model_pack", "declined", "not_offered", "no_media")
        said += [words.skipped_because(each) for each in reasons]
        said += [words.role(each) for each in Role] + [words.purpose(each) for each in ConsentPurpose]
        said += [words.action(each) for each in Action]
        said += [words.outcome(each) for each in ("ok", "denied", "failed")]
        said += [replay_words.signals()[kind] for kind in signals.KINDS]
        said += [replay_words.statements()[each] for each in signals.STATEMENTS]
        said += words.gaps().values()
        spoken = {"share", "count", "boolean", "index", "dB", "db", "dbfs"}
        units = {unit for known in signals.KINDS.values() for unit in known} - spoken
        said += [replay_words.units()[unit] for unit in units]
    assert [each for each in said if not CHINESE.search(each)] == []


def test_statements_take_the_figures_that_analysis_gives(app: Flask) -> None:
    for language in ("zh", "en"):
        with app.test_request_context(f"/?lang={language}"):
            for name, sentence in replay_words.statements().items():
                assert set(re.findall(r"\{(\w+)\}", sentence)) == signals.STATEMENTS[name], name


def test_every_line_of_a_history_has_words(app: Flask) -> None:
    kinds = [
        "bound",
        "rebind_requested",
        "checked",
        "consent",
        "consent_withdrawn",
        "finish",
        "viewed",
        "sealed",
    ]
    kinds += [f"mail:{state}" for state in ("queued", "sent", "failed", "dropped")]
    kinds += [f"analysis:{state}" for state in ("done", "failed", "cancelled")]
    with in_chinese(app):
        for kind in kinds:
            assert CHINESE.search(history.line(history.Happening(None, kind, {})).text), kind


# --- templates ----------------------------------------------------------------------------------------------

SPOKEN_ATTRIBUTES = ("alt", "aria-label", "placeholder", "title")


class Texts(HTMLParser):
    """The words of a page or template that people read or hear, without what is code or a name."""

    SILENT = frozenset({"script", "style", "kbd", "code", "pre"})
    VOID = frozenset({"meta", "link", "img", "input", "br", "hr", "rect", "line"})
    NAMES = frozenset({"mono", "name", "person", "stone", "secret"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent: list[bool] = [False]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.words += [given[name] or "" for name in SPOKEN_ATTRIBUTES if name in given]
        if tag not in self.VOID:
            named = not self.NAMES.isdisjoint((given.get("class") or "").split())
            foreign = given.get("lang") is not None and tag == "a"
            self._silent.append(self._silent[-1] or tag in self.SILENT or named or foreign)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent[-1]:
            self.words.append(data.strip())


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_have_no_words_of_their_own(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    text = re.sub(r"\{% block (mainclass|room) %\}\w+", "", text)
    bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.S)
    found = [each for each in Texts(bare).words if re.search(r"[A-Za-z\u4e00-\u9fff]{2,}", each)]
    assert [each for each in found if each != "SHA-256"] == []


# --- pages --------------------------------------------------------------------------------------------------

# Data and names of things that are the same in every language.
SAME = re.compile(
    r"SHA-256|JSON|CSV|Fupan|PostgreSQL|UTC[+-]\d\d:\d\d|JavaScript|Chrome|Edge|Safari|AI|dBFS?|English|"
    r"[\w.-]+@[\w.-]+|(audio|video)/[\w;=,. -]+|webm|mp4|matroska|\b[kMGT]?B\b|[0-9a-f-]{8,}|2026\.11-test"
)


def english_left(page: str, *data: str) -> list[str]:
    """Texts of a Chinese page that are English still."""
    found = []
    for text in Texts(page).words:
        for known in data:
            text = text.replace(known, "")
        if WORD.search(SAME.sub("", text)) and not CHINESE.search(text):
            found.append(text)
    return found


def test_the_room_is_chinese(tmp_path: Path) -> None:
    site = IntakeSite(tmp_path, language="zh")
    client = intake_app(site.settings).test_client(use_cookies=False)
    for policy in ({"screen": "required"}, {"screen": "optional", "analysis": "off"}):
        packet, _secret = site.packet(
            title="后端工程师", language="zh", guide=texts.guide("zh"), site="示例公司"
        )
        site.folder.put_packet(site.sign(_with(packet, policy)))
        page = client.get(f"/i/{packet.recording}").text
        assert 'lang="zh-Hans"' in page
        assert english_left(page, packet.contact) == []
        setup = json.loads(re.search(r'id="setup">(.*?)</script>', page, re.S)[1])
        assert [text for text in setup["strings"].values() if not CHINESE.search(text)] == []
    unknown = client.get(f"/i/{uuid.uuid4()}?lang=zh", headers={"Accept": "text/html"})
    assert unknown.status_code == 404
    assert english_left(unknown.text, site.settings.site) == []


def _with(packet: Any, policy: dict[str, Any]) -> Any:
    return replace(packet, policy=replace(packet.policy, **policy))


# Files, and the answer to machines.
NO_PAGES = frozenset(
    {
        "static",
        "replay.track",
        "replay.document",
        "health.machines",
        "access_log.export",
        "erasures.certificate_file",
    }
)


def pages(desk: Desk, attempts: list[uuid.UUID], given: dict[str, object]) -> Iterator[tuple[str, Role]]:
    """The address of every page with each role that may open it; one role where attempts are many."""
    staff = [role for role in Role if role is not Role.CANDIDATE]
    for rule in desk.app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint in NO_PAGES:
            continue
        permission = auth.permission_of(desk.app, rule.endpoint)
        open_to = [role for role in staff if permission in auth.OPEN or allowed(role, permission)]
        if "attempt_id" in rule.arguments:
            chosen = [({"attempt_id": attempt}, open_to[0]) for attempt in attempts]
        else:
            chosen = [({name: given[name] for name in rule.arguments}, role) for role in open_to]
        with desk.app.test_request_context():
            addresses = [(rule.build(values)[1], role) for values, role in chosen]
        yield from addresses


def test_every_page_of_the_desk_is_chinese(settings: Settings, keyholder: Keyholder) -> None:
    desk = Desk(settings, keyholder)
    attempts = [*desk.people_in_every_state().values(), desk.sealed()]
    clients = {role: desk.client(role, "zh") for role in desk.people}
    opened = post(clients[Role.RECRUITER], f"/recordings/{attempts[-1]}/views")
    given = {
        "mark_id": erasing.mark(desk.site, attempts[-1]),
        "position_id": desk.site.position(),
        "recording_id": attempts[-1],
        "view_id": uuid.UUID(opened.headers["Location"].rsplit("/", 1)[-1]),
        "account_id": desk.people[Role.AUDITOR].account_id,
        "seq": 3,
        "token": "x" * 20,
    }
    people = [*desk.people.values(), desk.site.recruiter]
    data = ["DSR-7", *(name for each in people for name in (each.display_name, each.username))]
    data += [settings.site, "Department", "Ada Lovelace", "Grace Hopper", "role does not hold"]
    seen = 0
    for address, role in pages(desk, attempts, given):
        answer = clients[role].get(address)
        if answer.status_code == 200:
            assert english_left(answer.text, *data) == [], (address, role)
            seen += 1
    assert seen > 40
    missing = clients[Role.RECRUITER].get("/nowhere", headers={"Accept": "text/html"})
    assert missing.status_code == 404
    assert english_left(missing.text, *data) == []
