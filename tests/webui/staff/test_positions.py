"""Positions: the form keeps what was typed, weights total 100, invitations answer row by row."""

from __future__ import annotations

import datetime as dt
import re
import uuid

import pytest

from appliance.domain import Role
from appliance.errors import InvalidInputError
from appliance.stages.invite import Invitee
from appliance.tables import attempt, position
from tests.support.desk import Desk, post
from webui.staff.invitations import read_rows

TOMORROW = (dt.datetime.now(dt.UTC) + dt.timedelta(days=2)).date().isoformat()


def form(desk: Desk, **changes: object) -> dict[str, object]:
    return {
        "title": "数据工程师",
        "department_id": str(desk.department),
        "language": "zh",
        "question_text": ["请介绍自己。", "为什么选择我们?"],
        "question_prep": ["10", "20"],
        "question_answer": ["60", "90"],
        "question_hint": ["请面向摄像头", ""],
        "question_competency": ["沟通", ""],
        "competency_name": ["沟通", "问题解决"],
        "weight": ["30", "70"],
        "screen": "off",
        "analysis": "offered",
        "min_seconds": "0",
        **changes,
    }


def test_a_position_is_made_changed_and_closed(desk: Desk) -> None:
    browser = desk.client(Role.RECRUITER)
    made = post(browser, "/positions", data=form(desk))
    assert made.status_code == 303
    page = browser.get(made.location)
    assert "数据工程师" in page.text
    assert "The position is saved." in page.text
    path = made.location.split("?")[0]
    assert "请面向摄像头" in browser.get(f"{path}/edit").text
    assert post(browser, path, data=form(desk, weight=["60", "40"])).status_code == 303
    assert "version 2" in browser.get(path).text
    assert post(browser, f"{path}/close").status_code == 303
    assert "Invite</button>" not in browser.get(path).text
    assert post(browser, path, data=form(desk)).status_code == 409


@pytest.mark.parametrize(("lang", "chosen"), [("en", "en"), ("zh", "zh")])
def test_a_new_position_is_preset_to_the_language_of_the_page(desk: Desk, lang: str, chosen: str) -> None:
    page = desk.client(Role.RECRUITER, lang).get("/positions/new").text
    choice = re.search(r'<select id="f-language".*?</select>', page, re.DOTALL)
    assert choice is not None
    assert re.findall(r'<option value="(\w+)" selected>', choice[0]) == [chosen]


def test_a_position_whose_competencies_have_other_ids_than_names_can_be_saved_as_it_is(desk: Desk) -> None:
    path = f"/positions/{desk.site.position()}"
    browser = desk.client(Role.RECRUITER)
    shown = browser.get(f"{path}/edit").text
    names = ("question_competency", "competency_name", "weight")
    typed = {name: re.findall(rf'name="{name}"[^>]*value="([^"]+)"', shown) for name in names}
    assert typed["question_competency"] == typed["competency_name"] == ["交付能力", "解决问题"]
    assert post(browser, path, data=form(desk, **typed)).status_code == 303


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weight": ["30", "60"]}, "The weights total 90 %"),
        ({"weight": ["30", "many"]}, "must be a whole number"),
        ({"title": " "}, "title"),
        ({"question_text": ["", "x"]}, "Question 1"),
        ({"screen": "sometimes"}, "screen"),
    ],
)
def test_what_must_be_mended_is_said_and_nothing_typed_is_lost(
    desk: Desk, changes: dict[str, object], reason: str
) -> None:
    answer = post(desk.client(Role.RECRUITER), "/positions", data=form(desk, **changes))
    assert answer.status_code == 422
    assert reason in answer.text
    assert "为什么选择我们?" in answer.text or "question_text" in changes
    assert desk.site.rows(position) == []


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"weight": ["30", "many"]}, ["c-weight-1"]),
        ({"weight": ["0", "100"]}, ["c-weight-0"]),
        ({"weight": ["30", "60"]}, ["c-weight-0", "c-weight-1"]),
        ({"competency_name": ["沟通", " "]}, ["c-name-1"]),
        ({"competency_name": ["沟通", "沟通"]}, ["c-name-1"]),
        ({"title": " "}, ["f-title"]),
        ({"question_text": ["x", ""]}, ["q-text-1"]),
        ({"question_prep": ["10", "long"]}, ["q-prep-1"]),
        ({"question_answer": ["1", "90"]}, ["q-answer-0"]),
        ({"question_hint": ["x", "x" * 501]}, ["q-hint-1"]),
        ({"question_competency": ["勇气", ""]}, ["q-competency-0"]),
        ({"screen": "sometimes"}, ["f-screen"]),
        ({"min_seconds": "9999"}, ["f-min_seconds"]),
    ],
)
def test_what_must_be_mended_is_said_at_its_field_and_the_summary_leads_there(
    desk: Desk, changes: dict[str, object], places: list[str]
) -> None:
    page = post(desk.client(Role.RECRUITER), "/positions", data=form(desk, **changes)).text
    fields = {
        re.search(r'\bid="([^"]+)"', tag)[1]: tag for tag in re.findall(r"<[^>]*aria-invalid[^>]*>", page)
    }
    assert list(fields) == places
    for tag in fields.values():
        described = re.search(r'aria-describedby="([^"]+)"', tag)[1]
        assert page.count(f'id="{described}"') == 1
        assert not re.search(rf'id="{described}"[^>]*hidden', page)
    assert f'<a href="#{places[0]}">' in page[: page.index('action="/positions"')]


def test_rows_that_can_be_invited_are_and_the_others_stay_with_their_reason(desk: Desk) -> None:
    made = desk.site.position()
    unreadable, twice = "韩梅梅\tno-address", "又一个李雷,li@example.com"
    pasted = f"姓名,邮箱\n李雷, li@example.com\n{unreadable}\nAda <ada@example.com>\n{twice}\n"
    answer = post(
        desk.client(Role.RECRUITER),
        f"/positions/{made}/invitations",
        data={"people": pasted, "deadline": TOMORROW},
    )
    assert answer.status_code == 200
    assert "2 invitations are on their way" in answer.text
    said = re.search(r'role="status"><p>(.*?)</p>', answer.text, re.DOTALL)
    assert said is not None
    assert not re.search(r"\.\S", said[1])
    left = re.search(r'<textarea id="f-people"[^>]*>(.*?)</textarea>', answer.text, re.S)
    assert left is not None
    assert left.group(1).split("\n") == [unreadable, twice]
    assert "Row 2: 韩梅梅 no-address has no mail address." in answer.text
    assert "Row 4: li@example.com is already invited" in answer.text
    assert len(desk.site.rows(attempt, position_id=made)) == 2


def test_without_a_relay_nobody_is_told_that_mail_went_out(desk: Desk) -> None:
    assert not desk.site.settings.smtp.host
    assert "No mail relay is set" in desk.client(Role.SYSTEM_ADMIN).get("/health").text
    [made] = desk.site.invite("anna")
    desk.site.run_jobs()
    page = desk.client(Role.RECRUITER).get(f"/attempts/{made}").text
    assert "Invitation written, not mailed" in page
    assert "folder mail/" in page
    assert "Invitation sent" not in page


def test_a_deadline_that_is_none_invites_nobody(desk: Desk) -> None:
    made = desk.site.position()
    for deadline in ("", "yesterday", "2020-01-01"):
        answer = post(
            desk.client(Role.RECRUITER),
            f"/positions/{made}/invitations",
            data={"people": "a, a@example.com", "deadline": deadline},
        )
        assert answer.status_code == 422
        assert "a, a@example.com" in answer.text
    assert desk.site.rows(attempt, position_id=made) == []


@pytest.mark.parametrize(
    "line",
    [
        "王小明, ming@example.com",
        "ming@example.com;王小明",
        "王小明\tming@example.com",
        "王小明 <ming@example.com>",
        '"王小明",ming@example.com',
        "王小明,ming@example.com",
    ],
)
def test_a_row_may_be_written_in_many_ways(line: str) -> None:
    assert read_rows(line) == [(line, Invitee("王小明", "ming@example.com"))]


@pytest.mark.parametrize("mark", ["\uff0c", "\uff1b", "\u3001", ",", ";", "\t"])
def test_chinese_marks_separate_too(mark: str) -> None:
    text = f"姓名{mark}邮箱\n王小明{mark}ming@example.com"
    assert [person for _, person in read_rows(text)] == [Invitee("王小明", "ming@example.com")]


def test_too_many_rows_and_none_are_refused() -> None:
    for text in ("", "\n \n", "\n".join(f"a{n},a{n}@x.test" for n in range(1001))):
        with pytest.raises(InvalidInputError):
            read_rows(text)


def test_another_departments_position_does_not_exist(desk: Desk) -> None:
    from tests.support import factory

    elsewhere = factory.make_position(desk.settings, factory.make_department(desk.settings))
    browser = desk.client(Role.DEPARTMENT_HEAD)
    foreign, unknown = browser.get(f"/positions/{elsewhere}"), browser.get(f"/positions/{uuid.uuid4()}")
    assert foreign.status_code == unknown.status_code == 404
    number = re.compile(r'class="mono">[0-9a-f]{12}')
    assert number.sub("", foreign.text) == number.sub("", unknown.text)
