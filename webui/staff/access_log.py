"""The access log, for auditors: facets, a chart of days, one recording's viewers, exports, verification."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request, url_for
from sqlalchemy import Connection, exc

from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import FupanError, NotFoundError
from appliance.people.roles import Permission
from appliance.reading import access_log, viewers
from webui.auth import current_user, requires
from webui.staff import desk
from webui.staff.chain import chain_state, check_chain, compare
from webui.staff.chart import bars

blueprint = Blueprint("access_log", __name__, url_prefix="/audit")

PAGE_SIZE = 50


class LogUnreadableError(FupanError):
    """The database answers, but the log's tables are gone, damaged or closed to the auditor."""

    status, code = 503, "log_unreadable"
    message = (
        "The access log cannot be read. Nothing was checked, exported or changed. "
        "Tell your system administrator; this page works again once the log can be read."
    )


@blueprint.get("")
@requires(Permission.AUDIT_READ)
def index() -> Response:
    """Filtered entries, newest first, with their chart and facets."""
    wanted, typed = _filter()
    query = desk.ListQuery.from_request("seq")
    offset = datetime.now().astimezone().utcoffset() or timedelta()
    with _reading() as tx:
        found = access_log.events(tx, wanted, query.page, PAGE_SIZE)
        days = access_log.days(tx, wanted, offset)
        facets = access_log.facets(tx, wanted)
        state = chain_state(tx)
        noted = compare(tx, request.args.get("noted", "")[:30], request.args.get("noted_hash", "")[:100])
    return desk.page(
        "staff/access_log.html",
        events=found,
        chart=bars(days),
        facets=facets,
        typed=typed,
        query=query,
        chain=state,
        noted=noted,
        export=lambda kind: url_for("access_log.export", kind=kind) + "?" + urlencode(typed),
    )


@blueprint.get("/events/<int:seq>")
@requires(Permission.AUDIT_READ)
def entry(seq: int) -> Response:
    """One entry with the exact text that was hashed."""
    with _reading() as tx:
        found = access_log.event(tx, seq) if seq < 2**62 else None
        state = chain_state(tx)
    if found is None:
        raise NotFoundError()
    told = json.dumps(json.loads(found.body), ensure_ascii=False, indent=2, sort_keys=True)
    return desk.page("staff/access_entry.html", entry=found, told=told, chain=state)


@blueprint.get("/recordings/<uuid:recording_id>")
@requires(Permission.AUDIT_READ)
def recording(recording_id: uuid.UUID) -> Response:
    """Who opened one recording, and which of its seconds they watched."""
    with _reading() as tx:
        if not access_log.events(tx, access_log.Filter(object_id=str(recording_id)), 1, 1).total:
            raise NotFoundError()
        openings = access_log.openings(tx, recording_id)
        state = chain_state(tx)
    with transaction("staff", desk.settings()) as tx:
        watched = viewers.watched(tx, recording_id)
        duration = viewers.duration_ms(tx, recording_id)
    return desk.page(
        "staff/viewers.html",
        recording_id=recording_id,
        openings=openings,
        watched=watched,
        duration=duration,
        chain=state,
    )


@blueprint.post("/verify")
@requires(Permission.AUDIT_VERIFY)
def verify() -> Response:
    """Walk the whole chain now; that it was done is itself an entry."""
    with _reading() as tx:
        found = check_chain(tx)
        details = {"entries": found.count, "ok": found.ok}
        log.append(tx, log.Action.AUDIT_VERIFY, log.Actor.of(current_user()), "log", "", details=details)
    return desk.go("access_log.index", done="chain-checked")


@blueprint.get("/export.<any(csv, json):kind>")
@requires(Permission.AUDIT_READ)
def export(kind: str) -> Response:
    """All filtered entries as a file. The entry about the export is committed before the first byte."""
    wanted, typed = _filter()
    chosen = desk.settings()
    with _reading(chosen) as tx:
        last, _hash = access_log.head(tx)
        access_log.event(tx, last)  # unreadable: no export, and no entry about one
        details: dict[str, Any] = {"format": kind, "filter": typed, "up_to": last}
        log.append(tx, log.Action.AUDIT_READ, log.Actor.of(current_user()), "log", "", details=details)

    def lines() -> Iterator[str]:
        with _reading(chosen) as reading:
            entries = (each for each in access_log.every(reading, wanted) if each.seq <= last)
            yield from (_csv(entries) if kind == "csv" else _json(entries))

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    mime = "text/csv; charset=utf-8" if kind == "csv" else "application/json"
    response = Response(lines(), mimetype=mime.split(";")[0])
    response.headers["Content-Type"] = mime
    response.headers["Content-Disposition"] = f'attachment; filename="fupan-access-log-{stamp}.{kind}"'
    return response


@contextlib.contextmanager
def _reading(settings: Settings | None = None) -> Iterator[Connection]:
    """A transaction of the auditor's. Raises LogUnreadableError when the log is not there to be read."""
    try:
        with transaction("auditor", settings or desk.settings()) as tx:
            yield tx
    except (exc.ProgrammingError, exc.InternalError, exc.NoResultFound) as error:
        raise LogUnreadableError() from error


def _filter() -> tuple[access_log.Filter, dict[str, str]]:
    """What is asked for, and as it was typed (only what was)."""
    names = ("actor", "action", "outcome", "object_type", "object_id", "since", "until")
    typed = {name: text for name in names if (text := request.args.get(name, "").strip()[:200])}
    wanted = access_log.Filter(
        **{name: text for name, text in typed.items() if name not in ("since", "until")},
        since=_midnight(typed.get("since"), 0),
        until=_midnight(typed.get("until"), 1),
    )
    return wanted, typed


def _midnight(text: str | None, plus_days: int) -> datetime | None:
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return None
    return datetime.combine(day + timedelta(days=plus_days), time()).astimezone()


def _csv(entries: Iterator[access_log.Event]) -> Iterator[str]:
    """Comma-separated with a byte-order mark (so that spreadsheets read Chinese) and no live formulas."""
    names = (
        "seq",
        "at",
        "actor",
        "role",
        "address",
        "action",
        "object_type",
        "object_id",
        "outcome",
        "reason",
    )
    yield "\ufeff" + _row([*names, "sha256"])
    for each in entries:
        who = each.actor.get("name") or each.actor.get("id", "")
        at = each.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        about = (each.action, each.object_type, each.object_id, each.outcome, each.reason, each.hash.hex())
        yield _row([each.seq, at, who, each.actor.get("role", ""), each.actor.get("address", ""), *about])


def _row(values: Sequence[Any]) -> str:
    sheet = io.StringIO()
    tame = [f"'{value}" if str(value)[:1] in ("=", "+", "-", "@", "\t") else value for value in values]
    csv.writer(sheet).writerow(tame)
    return sheet.getvalue()


def _json(entries: Iterator[access_log.Event]) -> Iterator[str]:
    """{"entries": [{seq, body (exact text), sha256}]}: enough to verify each hash."""
    yield '{"format":"fupan access log 1","entries":['
    for index, each in enumerate(entries):
        item = {"seq": each.seq, "body": each.body, "sha256": each.hash.hex()}
        yield ("," if index else "") + "\n" + json.dumps(item, ensure_ascii=False)
    yield "\n]}\n"
