"""The auditor's pages: facets, chart, verification on top, exports that are themselves entries."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re

import pytest
from sqlalchemy import create_engine, text

from appliance.audit import log
from appliance.database import transaction
from appliance.domain import Role
from appliance.embedded.people import ADDRESS as TERMINAL
from appliance.reading import access_log
from tests.support.desk import Desk, post


def entries(desk: Desk, count: int, **more: str) -> None:
    with transaction("staff", desk.settings) as tx:
        for _ in range(count):
            actor = log.Actor.of(desk.people[Role.RECRUITER])
            log.append(tx, log.Action.POSITION_CHANGE, actor, "position", "=1+1", **more)


def _rewrite(desk: Desk, seq: int) -> None:
    _as_owner(
        desk,
        "ALTER TABLE audit_event DISABLE TRIGGER USER",
        f"UPDATE audit_event SET hash = sha256('x') WHERE seq = {seq}",
    )


def _as_owner(desk: Desk, *statements: str) -> None:
    """What only who has the database's owner in hand can do."""
    engine = create_engine(desk.settings.database_url("owner"))
    with engine.begin() as tx:
        for statement in statements:
            tx.execute(text(statement))
    engine.dispose()


def test_facets_narrow_the_list_and_the_chart_is_also_a_table(desk: Desk) -> None:
    entries(desk, 60)
    entries(desk, 3, outcome="denied", reason="role")
    auditor = desk.client(Role.AUDITOR)
    page = auditor.get("/audit?action=position:change").text
    assert "1–50 of 63" in page
    assert '<rect class="bar refused"' in page
    assert "position:change · changed a position (63)" in page
    refused = auditor.get("/audit?outcome=denied").text
    assert "1–3 of 3" in refused
    assert "As a table" in refused
    who = desk.people[Role.RECRUITER].username
    assert "of 63" in auditor.get(f"/audit?actor={who}&object_type=position").text
    assert "No entry fits this filter" in auditor.get("/audit?since=2001-01-01&until=2001-01-02").text
    assert auditor.get("/audit?since=soon&page=-3&actor=%F0%9F%8D%8B").status_code == 200
    assert auditor.get("/audit?action=%00").status_code == 400


def cells(page: str, column: str) -> list[str]:
    """What one column of the list says, tags left out."""
    found = re.findall(rf'<td data-label="{column}"[^>]*>(.*?)</td>', page, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in found]


@pytest.mark.parametrize(
    ("lang", "columns", "said"),
    [
        (
            "en",
            ("Object", "From address"),
            ("Vault ", "command line", "the role does not hold “position:read”"),
        ),
        ("zh", ("对象", "来源地址"), ("保险库 ", "命令行", "该角色没有“position:read”权限")),
    ],
)
def test_every_column_of_the_list_is_in_the_language_of_the_page(
    desk: Desk, lang: str, columns: tuple[str, str], said: tuple[str, str, str]
) -> None:
    auditor = desk.client(Role.AUDITOR, lang)
    assert auditor.get("/positions").status_code == 404
    with transaction("staff", desk.settings) as tx:
        actor = log.Actor("unit", "cli", name="root", address=TERMINAL)
        log.append(tx, log.Action.VAULT_LOCK, actor, "vault", desk.department)
    page = auditor.get("/audit").text
    kind, address, refused = said
    about = cells(page, columns[0])
    assert about[0] == f"{kind}{str(desk.department)[:13]}"
    assert about[1].endswith(" positions.index")
    assert cells(page, columns[1])[:2] == [address, "127.0.0.1"]
    assert refused in page
    newest = int(re.search(r'id="head-number">(\d+)<', page)[1])
    assert kind in auditor.get(f"/audit/events/{newest}").text
    assert refused in auditor.get(f"/audit/events/{newest - 1}").text


@pytest.mark.parametrize(
    ("lang", "column", "said"), [("en", "Action", "sign-in refused"), ("zh", "操作", "登录未成功")]
)
def test_a_failed_sign_in_is_not_told_as_done(desk: Desk, lang: str, column: str, said: str) -> None:
    assert post(desk.client(), "/sign-in", data={"username": "head", "password": "wrong"}).status_code == 401
    auditor = desk.client(Role.AUDITOR, lang)
    page = auditor.get("/audit?outcome=failed").text
    assert cells(page, column) == [f"session:sign-in {said}"]
    number = re.search(r'href="/audit/events/(\d+)"', page)[1]
    assert f"session:sign-in</span> {said}" in auditor.get(f"/audit/events/{number}").text


def test_the_state_of_the_chain_is_on_top_of_every_page(desk: Desk) -> None:
    entries(desk, 5)
    auditor = desk.client(Role.AUDITOR)
    for path in ("/audit", "/audit/events/2"):
        assert "The chain holds." in auditor.get(path).text
    assert post(auditor, "/audit/verify").status_code == 303
    assert "audit:verify" in auditor.get("/audit").text


def test_the_head_can_be_written_down_and_compared_on_a_later_day(desk: Desk) -> None:
    entries(desk, 5)
    auditor = desk.client(Role.AUDITOR)
    page = auditor.get("/audit").text
    number = re.search(r'id="head-number">(\d+)<', page)[1]
    shown = re.search(r'id="head-hash">(.*?)</dd>', page)[1]
    groups = re.findall(r"<span>(\w{8})</span>", shown)
    with transaction("auditor", desk.settings) as tx:
        assert (int(number), bytes.fromhex("".join(groups))) == access_log.head(tx)
    entries(desk, 5)

    def said(seq: str, digest: str) -> str:
        return auditor.get("/audit", query_string={"noted": seq, "noted_hash": digest}).text

    same = f"Entry {number} is the one you wrote down."
    for typed in (" ".join(groups), "".join(groups).upper(), " ".join(groups[:2])):
        assert same in said(number, typed)
    assert f"Entry {number} is not the one" in said(number, "0" * 64)
    assert "There is no entry 999." in said("999", "".join(groups))
    for seq, digest in ((number, groups[0]), ("x", "0" * 64), (number, ""), ("", "".join(groups))):
        assert "at least the first two groups" in said(seq, digest)
    _rewrite(desk, int(number))
    assert f"Entry {number} is not the one" in said(number, "".join(groups))


def test_a_broken_chain_is_named(desk: Desk) -> None:
    entries(desk, 5)
    _rewrite(desk, 3)
    assert "The chain is broken at entry 3." in desk.client(Role.AUDITOR).get("/audit").text


def test_exports_hold_the_filtered_rows_and_are_entries(desk: Desk) -> None:
    entries(desk, 4)
    auditor = desk.client(Role.AUDITOR)
    sheet = auditor.get("/audit/export.csv?action=position:change")
    assert sheet.headers["Content-Disposition"].startswith('attachment; filename="fupan-access-log-')
    rows = list(csv.DictReader(io.StringIO(sheet.data.decode("utf-8-sig"))))
    assert {row["action"] for row in rows} == {"position:change"}
    assert rows[0]["object_id"] == "'=1+1"  # no spreadsheet computes it
    told = auditor.get("/audit/export.json").json["entries"]
    assert all(hashlib.sha256(one["body"].encode()).hexdigest() == one["sha256"] for one in told)
    exports = [json.loads(one["body"])["event"] for one in told if '"audit:read"' in one["body"]]
    assert exports[0]["details"]["format"] == "csv"
    assert "audit:read" in auditor.get("/audit").text


def test_unknown_entries_and_recordings_are_not_there(desk: Desk) -> None:
    auditor = desk.client(Role.AUDITOR)
    for path in (
        "/audit/events/999",
        "/audit/events/99999999999999999999",
        f"/audit/recordings/{desk.department}",
    ):
        assert auditor.get(path).status_code == 404


@pytest.mark.parametrize(
    "trouble",
    [
        ["ALTER TABLE audit_event RENAME TO elsewhere"],
        ["REVOKE SELECT ON audit_event FROM fupan_auditor"],
        ["ALTER TABLE audit_head DISABLE TRIGGER USER", "DELETE FROM audit_head"],
    ],
    ids=["gone", "unreadable", "headless"],
)
def test_a_log_that_cannot_be_read_is_said_and_nothing_is_exported(desk: Desk, trouble: list[str]) -> None:
    recording = desk.sealed(4, analysed=False)
    auditor = desk.client(Role.AUDITOR)
    _as_owner(desk, *trouble)
    answers = {
        path: auditor.get(path)
        for path in (
            "/audit",
            "/audit/events/1",
            f"/audit/recordings/{recording}",
            "/audit/export.csv",
            "/audit/export.json",
        )
    }
    answers["/audit/verify"] = post(auditor, "/audit/verify")
    said = {
        path: (answer.status_code, "access log cannot be read" in answer.text)
        for path, answer in answers.items()
    }
    assert said == dict.fromkeys(answers, (503, True))
    assert all("Retry-After" in answer.headers for answer in answers.values())
