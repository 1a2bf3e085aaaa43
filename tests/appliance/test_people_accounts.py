from __future__ import annotations

import uuid

import pytest
from sqlalchemy import Connection

from appliance.audit.log import Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role
from appliance.errors import ConflictError, InvalidInputError
from appliance.people import accounts
from appliance.people.accounts import LastSecurityAdminError
from tests.support import factory

CLI = Actor.unit("cli")


def create(tx: Connection, username: str = "li", role: Role = Role.RECRUITER, **values: object) -> object:
    return accounts.create(tx, CLI, username, "李", role, **values)


def test_an_account_is_made_and_listed_without_its_hash(settings: Settings) -> None:
    with transaction("staff", settings) as tx:
        sales = accounts.ensure_department(tx, " 销售部 ")
        assert accounts.ensure_department(tx, "销售部") == sales
        made = create(tx, " Li ", Role.DEPARTMENT_HEAD, department_id=sales, password="long enough pw")
        (row,) = accounts.list_all(tx)
    assert (row.id, row.username, row.role, row.department) == (made, "li", "department_head", "销售部")
    assert "password_hash" not in row._mapping


def test_what_makes_no_account_is_refused_with_a_reason(settings: Settings) -> None:
    with transaction("staff", settings) as tx:
        create(tx)
        for username, role, values in (
            ("", Role.RECRUITER, {}),
            ("a b", Role.RECRUITER, {}),
            ("x" * 65, Role.RECRUITER, {}),
            ("ok", Role.CANDIDATE, {}),
            ("ok", Role.DEPARTMENT_HEAD, {}),
            ("ok", Role.RECRUITER, {"password": "short"}),
            ("ok", Role.RECRUITER, {"password": "x" * 2000}),
            ("ok", Role.RECRUITER, {"department_id": uuid.uuid4()}),
        ):
            with pytest.raises(InvalidInputError):
                create(tx, username, role, **values)
        with pytest.raises(ConflictError):
            create(tx, "LI")
        for name in ("", " ", "x" * 200):
            with pytest.raises(InvalidInputError):
                accounts.ensure_department(tx, name)


def test_the_last_security_administrator_stays(settings: Settings) -> None:
    only = factory.make_user(settings, Role.SECURITY_ADMIN).account_id
    factory.make_user(settings, Role.SECURITY_ADMIN, disabled_at="2026-01-01")
    with transaction("staff", settings) as tx:
        with pytest.raises(LastSecurityAdminError):
            accounts.set_disabled(tx, CLI, only, True)
        with pytest.raises(LastSecurityAdminError):
            accounts.change(tx, CLI, only, "Wu", Role.AUDITOR, None)
        accounts.change(tx, CLI, only, "Wu", Role.SECURITY_ADMIN, None)
    second = factory.make_user(settings, Role.SECURITY_ADMIN).account_id
    with transaction("staff", settings) as tx:
        accounts.set_disabled(tx, CLI, only, True)
        with pytest.raises(LastSecurityAdminError):
            accounts.set_disabled(tx, CLI, second, True)
