"""What every staff page needs: settings, navigation by role, one-line messages, list addresses."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, current_app, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from sqlalchemy import Connection

from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import InvalidInputError, NotFoundError
from appliance.people.roles import ADMINISTRATORS, allowed
from appliance.reading import vault_notice
from webui import erase_words, words
from webui.answers import see_other
from webui.auth import permission_of


@dataclass(frozen=True)
class NavigationItem:
    """One entry of the main navigation."""

    url: str
    label: str
    current: bool


@dataclass(frozen=True)
class ListQuery:
    """How a list is asked for in its address: filters, sort, page."""

    sort: str
    descending: bool
    page: int

    @classmethod
    def from_request(cls, sort: str, *, descending: bool = True) -> ListQuery:
        """Read ?sort=&down=&page=; what makes no sense counts as the default."""
        asked = request.args.get("sort", "")
        down = request.args.get("down")
        number = request.args.get("page", "1")
        return cls(
            sort=asked or sort,
            descending=descending if down is None else down == "1",
            page=int(number) if number.isdecimal() and len(number) < 7 else 1,
        )

    def url(self, **changes: object) -> str:
        """This page's address with some parameters changed; a changed sort or filter starts at page 1."""
        parameters = {key: value for key, value in request.args.items() if value and key != "page"}
        for key, value in changes.items():
            parameters[key] = str(int(value)) if isinstance(value, bool) else str(value)
        return f"{request.path}?{urlencode(parameters)}"


def settings() -> Settings:
    """The site's settings."""
    found: Settings = current_app.extensions["fupan_settings"]
    return found


def install(app: Flask) -> None:
    """Template functions of the staff pages."""

    @app.context_processor
    def common() -> dict[str, Any]:
        return {
            "navigation": navigation(),
            "get_flashed": flashed,
            "language_url": language_url,
            "may": may,
            **words.for_templates(),
            **erase_words.for_templates(),
        }


def navigation() -> list[NavigationItem]:
    """The pages that the signed-in person's role may open."""
    entries = [
        ("today.page", _("Today")),  # for those who have candidates; others land on their own page
        ("positions.index", _("Positions")),
        ("candidates.index", _("Candidates")),
        ("erasures.index", _("Erasures")),
        ("access_log.index", _("Access log")),
        ("accounts.index", _("Accounts")),
        ("health.page", _("Health")),
        ("vault.page", _("Vault")),  # for administrators; others come by the notice that it is locked
    ]
    here = (request.blueprint or "").split(".")[0]
    items = []
    for endpoint, label in entries:
        wanted = {"today.page": "candidates.index", "vault.page": "health.page"}.get(endpoint, endpoint)
        if may(endpoint) and may(wanted):
            items.append(NavigationItem(url_for(endpoint), label, endpoint.split(".")[0] == here))
    return items


def may(endpoint: str) -> bool:
    """Whether the signed-in person's role may call an endpoint, so that no page offers what it refuses."""
    user = g.get("user")
    permission = permission_of(current_app, endpoint)
    return user is not None and permission is not None and allowed(user.role, permission)


def language_url(lang: str) -> str:
    """The present page in another language."""
    if request.method != "GET":
        return f"/?lang={lang}"
    return f"{request.path}?{urlencode({**request.args.to_dict(), 'lang': lang})}"


def flashed() -> list[tuple[str, str]]:
    """The message that the page before asked for by ?done=CODE; codes only, never text."""
    messages = {
        "position-saved": _("The position is saved."),
        "position-closed": _("The position is closed. Interviews that were invited go on."),
        "invited-again": _("A fresh link is on its way. The earlier link stops working."),
        "seal-ordered": _("Sealing is ordered again."),
        "analysis-ordered": _("The analysis is ordered again."),
        "resume-kept": _("The résumé is kept."),
        "note-kept": _("The note is kept."),
        "marked": _("Marked for erasure. Until its time is over the mark can be withdrawn."),
        "mark-withdrawn": _("The mark is withdrawn. Nothing was erased."),
        "held": _("The legal hold is set."),
        "hold-lifted": _("The legal hold is lifted. What is marked is erased when its time is over."),
        "assigned": _("The interviewer may see this interview now."),
        "unassigned": _("The interviewer does not see this interview any more."),
        "account-saved": _("The account is saved."),
        "account-disabled": _("The account is disabled. Its sessions have ended."),
        "account-enabled": _("The account is enabled."),
        "password-removed": _(
            "The password is removed. Make a sign-in link, so that this person can set a new one."
        ),
        "password-set": _("Your password is set. Sign in with it from now on."),
        "signed-out": _("You are signed out."),
        "chain-checked": _("The chain was checked just now."),
        "share-given": _("Your share was taken. The others give theirs on their own."),
        "vault-unlocked": _("The vault is unlocked. What waited goes on by itself."),
        "view-closed": _("The replay is closed. What you watched is on the access log."),
    }
    text = messages.get(request.args.get("done", ""))
    return [("safe", text)] if text else []


def page(template: str, status: int = 200, **values: Any) -> Response:
    """Render a staff page."""
    values.setdefault("notice", notice())
    response = make_response(render_template(template, no_relay=not settings().smtp.host, **values))
    response.status_code = status
    return response


def notice() -> vault_notice.Notice | None:
    """What administrators are told of the vault on each of their pages; others where a page asks for it."""
    user = g.get("user")
    if user is None or user.role not in ADMINISTRATORS:
        return None
    return vault_notice.notice(settings(), alarms=True)


def go(endpoint: str, done: str | None = None, **values: Any) -> Response:
    """After a change: see the result by GET."""
    if done:
        values["done"] = done
    return see_other(url_for(endpoint, **values))


def change(act: Callable[[Connection], object], endpoint: str, done: str, **values: Any) -> Response:
    """Do one act in a transaction of its own, then go where its result is seen. What it raises, it raises
    after the transaction has been rolled back."""
    with transaction("staff", settings()) as tx:
        act(tx)
    return go(endpoint, done, **values)


def as_uuid(text: str | None) -> uuid.UUID:
    """An id from a form. Raises NotFoundError for anything else."""
    try:
        return uuid.UUID(text or "")
    except ValueError:
        raise NotFoundError() from None


def whole_number(text: str | None, what: str, **place: object) -> int:
    """A whole number from a form. Raises InvalidInputError with `what` and `place`."""
    tidy = (text or "").strip()
    if not tidy.isdecimal() or len(tidy) > 9:
        raise InvalidInputError("%(what)s must be a whole number.", what=what, **place)
    return int(tidy)
