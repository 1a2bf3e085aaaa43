"""A member of staff: in a browser of their own, and over HTTP with the same session."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.support import room
from tests.support.product import Product
from tests.support.web import Answer, Client

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Desk:
    """One person, signed in by a one-time link. Paths are below the staff's pages."""

    def __init__(self, product: Product, username: str) -> None:
        self.url = product.settings.staff_url
        self.client = Client(self.url, {"Accept": "text/html", "Accept-Language": "en"})
        link = product.sign_in_link(username)
        answer = self.post(link.removeprefix(self.url))
        assert answer.status == 303, answer.text

    def get(self, path: str, **headers: str) -> Answer:
        return self.client.ask("GET", path, headers=headers)

    def post(self, path: str, **more: Any) -> Answer:
        return self.client.ask("POST", path, headers=SAME_ORIGIN, **more)

    def open_view(self, recording: uuid.UUID) -> str:
        """Open a replay; the path of its page."""
        answer = self.post(f"/recordings/{recording}/views")
        assert answer.status == 303, answer.text
        return str(answer.headers["Location"])

    def track(self, view: str, name: str = "camera") -> bytes:
        """A whole decrypted track."""
        answer = self.get(f"{view}/tracks/{name}")
        assert answer.status == 200, answer.text
        return answer.body

    def document(self, view: str, name: str) -> dict[str, Any]:
        answer = self.get(f"{view}/documents/{name}.json")
        assert answer.status == 200, answer.text
        return dict(answer.json)


def position_form(
    product: Product, title: str, questions: list[tuple[str, int, int, str]], **rules: str
) -> dict:
    """What the form of a position sends. A question is its text, seconds to think and to answer, its hint."""
    return {
        "title": title,
        "department_id": department(product),
        "question_text": [text for text, *_ in questions],
        "question_prep": [str(prep) for _, prep, *_ in questions],
        "question_answer": [str(answer) for _, _, answer, _ in questions],
        "question_hint": [hint for *_, hint in questions],
        "question_competency": ["" for _ in questions],
        "competency_name": [""],
        "weight": [""],
        "language": "en",
        "screen": "off",
        "analysis": "offered",
        "min_seconds": "0",
        **rules,
    }


def department(product: Product) -> str:
    """The one department that a first start makes."""
    from sqlalchemy import select

    from appliance import database, tables

    with database.transaction("staff", product.settings) as tx:
        return str(tx.scalar(select(tables.department.c.id)))


def in_a_week() -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(days=7)).date().isoformat()


@contextlib.contextmanager
def browser(profile: Path, *arguments: str, locale: str = "en-GB") -> Iterator[BrowserContext]:
    """A browser with its driver, both gone at the end: no loop may be left to tests that have their own."""
    with sync_playwright() as driver, room.chromium(driver, profile, *arguments, locale=locale) as context:
        yield context


def sign_in(context: BrowserContext, link: str) -> Page:
    """Use a one-time link as a person does: by its button."""
    page = context.pages[0]
    page.goto(link)
    page.click("main form button")
    page.wait_for_url(lambda address: "/sign-in" not in address)
    return page
