from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Connection, func, select, text, update

from appliance.audit.log import Actor
from appliance.config import Settings, Timing
from appliance.database import transaction
from appliance.domain import Role, User
from appliance.errors import NotFoundError
from appliance.people import accounts, directory, sessions
from appliance.people.directory import LocalDirectory, hash_password
from appliance.people.sessions import LinkRefusedError, SignInRefusedError
from appliance.tables import account, audit_event, session, sign_in_link
from tests.support import factory

PASSWORD = "正确的马 电池 staple"
ADDRESS = "10.1.2.3"


@pytest.fixture(scope="module")
def password_hash() -> str:
    return hash_password(PASSWORD)


@pytest.fixture
def chen(settings: Settings, password_hash: str) -> User:
    return factory.make_user(settings, Role.RECRUITER, username="chen", password_hash=password_hash)


def events(settings: Settings) -> list[tuple[str, str, str, str]]:
    """(action, outcome, actor's kind, actor's name) of everything on the log."""
    with transaction("auditor", settings) as tx:
        bodies = tx.scalars(select(audit_event.c.body).order_by(audit_event.c.seq)).all()
    found = [json.loads(body)["event"] for body in bodies]
    return [
        (each["action"], each["outcome"], each["actor"]["kind"], each["actor"].get("name", ""))
        for each in found
    ]


def link(settings: Settings, user: User, lifetime: dt.timedelta = sessions.LINK_LIFETIME) -> str:
    with transaction("staff", settings) as tx:
        return sessions.issue_link(tx, user.account_id, Actor.unit("cli"), lifetime)


def in_use(settings: Settings, password: str = PASSWORD, username: str = "chen") -> sessions.SignedIn:
    return sessions.sign_in_by_password(username, password, ADDRESS, settings)


# Links -----------------------------------------------------------------------------------------------


def test_a_link_signs_in_once(settings: Settings, chen: User) -> None:
    token = link(settings, chen)
    signed_in = sessions.sign_in_by_link(token, ADDRESS, settings)
    assert signed_in.user.account_id == chen.account_id
    assert sessions.load(signed_in.token, ADDRESS, settings) == signed_in.user
    with pytest.raises(LinkRefusedError):
        sessions.sign_in_by_link(token, ADDRESS, settings)
    assert events(settings) == [
        ("session:issue-link", "ok", "unit", ""),
        ("session:sign-in", "ok", "account", "chen"),
        ("session:sign-in", "failed", "nobody", ""),
    ]


def test_links_that_are_unknown_expired_or_of_a_disabled_account_are_refused_alike(
    settings: Settings, chen: User
) -> None:
    expired = link(settings, chen, dt.timedelta(seconds=-1))
    disabled = link(settings, chen)
    with transaction("staff", settings) as tx:
        tx.execute(update(account).values(disabled_at=func.now()))
    messages = set()
    for token in ("guess", "", expired, disabled):
        with pytest.raises(LinkRefusedError) as caught:
            sessions.sign_in_by_link(token, ADDRESS, settings)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_two_uses_of_a_link_at_once_sign_in_once(settings: Settings, chen: User) -> None:
    token, results = link(settings, chen), []

    def use() -> None:
        try:
            results.append(sessions.sign_in_by_link(token, ADDRESS, settings).user.username)
        except LinkRefusedError:
            results.append("refused")

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["chen", "refused", "refused", "refused"]


def test_no_token_is_stored(settings: Settings, chen: User) -> None:
    token = link(settings, chen)
    signed_in = sessions.sign_in_by_link(token, ADDRESS, settings)
    with transaction("owner", settings) as tx:
        stored = [
            *tx.scalars(select(sign_in_link.c.token_sha256)),
            *tx.scalars(select(session.c.token_sha256)),
        ]
        whole = tx.scalar(text("SELECT string_agg(t::text, '') FROM (SELECT * FROM audit_event) t"))
    assert [bytes(each) for each in stored] == [
        hashlib.sha256(each.encode()).digest() for each in (token, signed_in.token)
    ]
    assert token not in whole
    assert signed_in.token not in whole


# Passwords -------------------------------------------------------------------------------------------


def test_a_password_signs_in_whatever_the_case_of_the_name(settings: Settings, chen: User) -> None:
    assert in_use(settings, username=" Chen ").user.account_id == chen.account_id
    assert events(settings) == [("session:sign-in", "ok", "account", "chen")]


def test_every_refusal_looks_the_same_and_a_typed_secret_is_not_logged(
    settings: Settings, chen: User
) -> None:
    factory.make_user(settings, Role.RECRUITER, username="nopassword")
    messages = set()
    for username, password in (("chen", "wrong"), (PASSWORD, ""), ("nopassword", ""), ("nopassword", "x")):
        with pytest.raises(SignInRefusedError) as caught:
            in_use(settings, password, username)
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert [(outcome, name) for _, outcome, _, name in events(settings)] == [
        ("failed", "chen"), ("failed", ""), ("failed", "nopassword"), ("failed", "nopassword"),
    ]  # fmt: skip


def test_an_unknown_name_costs_as_much_as_a_known_one(
    settings: Settings, chen: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []

    def count(stored: str, _password: str) -> bool:
        compared.append(stored.split("$")[1] + stored.split("$")[3])
        return False

    monkeypatch.setattr(directory, "_matches", count)
    local = LocalDirectory(settings)
    for username in ("chen", "nobody at all"):
        assert local.authenticate(username, "x") is None
    assert compared[0] == compared[1]
    assert compared[0].startswith("argon2id")


def test_five_failures_rest_the_account_for_a_quarter_of_an_hour(settings: Settings, chen: User) -> None:
    for _ in range(directory.MAX_FAILURES):
        with pytest.raises(SignInRefusedError):
            in_use(settings, "wrong")
    with pytest.raises(SignInRefusedError):
        in_use(settings)
    with transaction("staff", settings) as tx:
        until = tx.scalar(select(account.c.locked_until))
        assert until is not None
        assert dt.timedelta(minutes=14) < until - dt.datetime.now(dt.UTC) <= directory.LOCKED_FOR
        tx.execute(update(account).values(locked_until=func.now() - dt.timedelta(seconds=1)))
    assert in_use(settings).user.username == "chen"


def test_a_success_forgets_the_failures_before_it(settings: Settings, chen: User) -> None:
    for _ in range(2):
        for _ in range(directory.MAX_FAILURES - 1):
            with pytest.raises(SignInRefusedError):
                in_use(settings, "wrong")
        assert in_use(settings)


def test_tries_at_once_cannot_exceed_the_limit(
    settings: Settings, chen: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: list[str] = []
    lock = threading.Lock()

    def slow(stored: str, _password: str) -> bool:
        with lock:
            real.append(stored)
        return False

    monkeypatch.setattr(directory, "_matches", slow)
    tries = [
        threading.Thread(target=LocalDirectory(settings).authenticate, args=("chen", "x")) for _ in range(9)
    ]
    for each in tries:
        each.start()
    for each in tries:
        each.join()
    with transaction("staff", settings) as tx:
        stored = tx.scalar(select(account.c.password_hash))
    assert len(real) == 9
    assert real.count(str(stored)) == directory.MAX_FAILURES


# Sessions --------------------------------------------------------------------------------------------


def test_a_session_ends_when_idle_and_at_its_limit(settings: Settings, chen: User) -> None:
    token = in_use(settings).token
    assert sessions.load(token, ADDRESS, settings) is not None
    idle = replace(settings, timing=Timing(session_idle=0))
    assert sessions.load(token, ADDRESS, idle) is None
    limited = replace(settings, timing=Timing(session_absolute=0))
    assert sessions.load(in_use(limited).token, ADDRESS, settings) is None
    assert sessions.load("guess", ADDRESS, settings) is None


def test_use_keeps_a_session_alive(settings: Settings, chen: User) -> None:
    token = in_use(settings).token
    with transaction("staff", settings) as tx:
        tx.execute(update(session).values(last_seen_at=func.now() - dt.timedelta(minutes=20)))
    assert sessions.load(token, ADDRESS, settings) is not None
    with transaction("staff", settings) as tx:
        seen_at = tx.scalar(select(session.c.last_seen_at))
    assert seen_at is not None
    assert dt.datetime.now(dt.UTC) - seen_at < dt.timedelta(minutes=1)


def test_signing_out_ends_one_session(settings: Settings, chen: User) -> None:
    first, second = in_use(settings).token, in_use(settings).token
    sessions.sign_out(first, ADDRESS, settings)
    sessions.sign_out(first, ADDRESS, settings)
    assert sessions.load(first, ADDRESS, settings) is None
    assert sessions.load(second, ADDRESS, settings) is not None
    assert [action for action, *_ in events(settings)].count("session:sign-out") == 1


def test_a_change_of_role_or_a_disabled_account_ends_every_session_and_link(
    settings: Settings, chen: User
) -> None:
    by = Actor.unit("cli")
    changes: tuple[Callable[[Connection], None], ...] = (
        lambda tx: accounts.change(tx, by, chen.account_id, "陈", Role.AUDITOR, None),
        lambda tx: accounts.set_password(tx, by, chen.account_id, PASSWORD),
        lambda tx: accounts.set_disabled(tx, by, chen.account_id, True),
    )
    for change in changes:
        token, waiting = in_use(settings).token, link(settings, chen)
        with transaction("staff", settings) as tx:
            change(tx)
        assert sessions.load(token, ADDRESS, settings) is None
        with pytest.raises(LinkRefusedError):
            sessions.sign_in_by_link(waiting, ADDRESS, settings)
    with transaction("staff", settings) as tx:
        accounts.set_disabled(tx, by, chen.account_id, False)
    assert in_use(settings).user.role is Role.AUDITOR


def test_a_session_of_an_account_that_is_disabled_behind_our_back_is_dead(
    settings: Settings, chen: User
) -> None:
    token = in_use(settings).token
    with transaction("owner", settings) as tx:
        tx.execute(update(account).values(disabled_at=func.now()))
    assert sessions.load(token, ADDRESS, settings) is None
    assert LocalDirectory(settings).find("chen") is None


def test_the_directory_finds_people_by_name(settings: Settings, chen: User) -> None:
    found = LocalDirectory(settings).find("CHEN")
    assert found is not None
    assert (found.account_id, found.role, found.locale) == (chen.account_id, Role.RECRUITER, "zh")
    assert LocalDirectory(settings).find("nobody") is None


def test_killing_the_sessions_of_nobody_is_nothing(settings: Settings) -> None:
    with pytest.raises(NotFoundError), transaction("staff", settings) as tx:
        accounts.set_disabled(tx, Actor.unit("cli"), uuid.uuid4(), True)
