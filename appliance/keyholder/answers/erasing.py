"""Erasures: what is due, its destruction by a recorded order, what was erased, and the certificates of it."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from typing import Any

from sqlalchemy import Connection

from appliance.database import transaction
from appliance.errors import DatabaseDoubtfulError, KeyRefusedError
from appliance.keyholder import erase_gate
from appliance.keyholder.answers.belief import Believed, believe, earlier_clock
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.erase_gate import ALWAYS, DAY, Plan
from appliance.keyholder.heeded import HEED, Heeded, Mark
from appliance.keyholder.wire import Request
from appliance.packet import to_timestamp
from storage.vault import ERASE, Entry, make_certificate

# Of an answer's megabyte: an entry has at most 64 KiB.
ANSWER_BYTES = 512 * 1024


class Erasing:
    """What is erased the keyholder decides by itself each time; the order only says that it may."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._custody = desk, desk.custody
        self._heeded = Heeded.of(desk.journal.entries())
        self._guard = threading.Lock()
        self._doubted = ""

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {
            "heed_erasures": self._heed,
            "lost_holds": self._lost_holds,
            "due_erasures": self._due,
            "erase": self._erase,
            "erased": self._erased,
            "erasure_certificate": self._certificate,
        }

    def _heed(self, _request: Request, peer: Peer) -> int:
        """Write down what is new of marks and holds; how many. Works while the vault is locked."""
        with self._guard, transaction("keyholder", self._desk.settings) as tx:
            return self._heed_within(tx, peer)

    def _lost_holds(self, _request: Request, _peer: Peer) -> dict[str, str]:
        """Holds that stand here though a restore took their rows, and what each keeps."""
        with transaction("keyholder", self._desk.settings) as tx:
            rows = erase_gate.holds(tx)
        standing = self._heeded.standing
        return {str(hold): str(standing[hold]) for hold in sorted(standing.keys() - rows, key=str)}

    def _due(self, _request: Request, peer: Peer) -> dict[str, Any]:
        self._custody.require_unlocked()
        with self._guard, transaction("keyholder", self._desk.settings) as tx:
            self._heed_within(tx, peer)
            candidates = self._candidates(tx)
            if not candidates:
                return {"due": [], "waiting": 0}
            due, waiting = self._within_a_day(candidates, self._believe(tx, peer))
        return {"due": [each.told() for each in due], "waiting": waiting}

    def _erase(self, request: Request, peer: Peer) -> dict[str, Any]:
        """The entry of the ledger first, then the records; what a crash leaves of these goes by a repeat, or
        at the next unlock."""
        self._custody.require_unlocked()
        event, mark_id = request.uuid("event"), request.uuid("mark")
        with self._guard:
            done = self._custody.erasures.chain().of_mark(mark_id)
            with transaction("keyholder", self._desk.settings) as tx:
                digest, ordered = erase_gate.demand_order(tx, self._custody.vault_id, event, mark_id)
                self._heed_within(tx, peer)
                known = self._believe(tx, peer)
                wanted = self._wanted(tx, mark_id, known) if done is None else None
            if wanted is not None and wanted.told() != ordered:
                raise KeyRefusedError(reason="the event orders something else than what is due")
            entry = {"event": str(event), "hash": digest.hex(), "mark": str(mark_id)}
            self._desk.record(request.operation, peer, entry)
            plan = wanted or Plan(mark_id, None, (), ())
            made = self._custody.erasures.erase(mark_id, event, plan.person, plan.recordings, plan.kept)
        return _told(made)

    def _erased(self, request: Request, _peer: Peer) -> list[dict[str, Any]]:
        """That of one mark, if there is any, once none is being written; or those behind a number, as many as
        an answer holds."""
        if request.has("mark"):
            with self._guard:
                entry = self._custody.erasures.chain().of_mark(request.uuid("mark"))
            return [_told(entry)] if entry else []
        after, found, size = request.number("after", 0, 2**53), [], 0
        for entry in self._custody.erasures.chain().entries[after:]:
            if entry.kind == ERASE:
                found.append(_told(entry))
                size += len(entry.line)
                if size > ANSWER_BYTES:
                    break
        return found

    def _certificate(self, request: Request, peer: Peer) -> dict[str, Any]:
        """Signed anew each time, with the same words: it states what the ledger has."""
        self._custody.require_unlocked()
        mark_id, erasures = request.uuid("mark"), self._custody.erasures
        entry, public = erasures.chain().of_mark(mark_id), erasures.public
        if entry is None or public is None:
            raise KeyRefusedError(reason="nothing was erased by this mark")
        mark = self._heeded.marks.get(mark_id)
        about = {"basis": mark.basis, "case": mark.case, "marked_at": to_timestamp(mark.at)} if mark else {}
        kept_days = self._custody.backups.kept_days
        self._desk.record(request.operation, peer, {"mark": str(mark_id)})
        return make_certificate(entry, self._custody.vault_id, public, kept_days, about, erasures.sign)

    # --- inside --------------------------------------------------------------------------------------------

    def _heed_within(self, tx: Connection, peer: Peer) -> int:
        news = self._heeded.news(tx)
        if news:
            self._believe(tx, peer)  # another database's would never be found on this one's log again
        for entry in news:
            self._desk.record(HEED, peer, entry)
            self._heeded.add({**entry, "at": to_timestamp(self._desk.clock.now())})
        return len(news)

    def _believe(self, tx: Connection, peer: Peer) -> Believed:
        """Raises DatabaseDoubtfulError, which is an alarm as well."""
        try:
            found = believe(self._desk, tx)
            self._doubted = ""
            return found
        except DatabaseDoubtfulError as error:
            what = str(error.params["what"])
            if self._doubted != what:  # asked each minute, told once
                self._desk.alarm("nothing_erased", peer, what=what)
            self._doubted = what
            raise

    def _candidates(self, tx: Connection) -> list[tuple[Mark, Plan]]:
        """The marks whose time is over, neither withdrawn nor done nor wholly held, the oldest first."""
        grace, now = self._desk.settings.erase.grace_days * DAY, self._now(tx)
        open_marks, held = erase_gate.marked(tx), erase_gate.held(tx) | {*self._heeded.standing.values()}
        chain = self._custody.erasures.chain()
        found = []
        for mark in sorted(self._heeded.marks.values(), key=lambda each: (each.at, str(each.id))):
            if mark.id not in open_marks or mark.id in self._heeded.withdrawn:
                continue
            if mark.at + grace > now or chain.of_mark(mark.id) is not None:
                continue
            wanted = erase_gate.plan(mark, held)
            if wanted is not None and erase_gate.are_theirs(tx, mark):
                found.append((mark, wanted))
        return found

    def _now(self, tx: Connection) -> dt.datetime:
        return earlier_clock(self._desk, tx)

    def _wanted(self, tx: Connection, mark_id: uuid.UUID, known: Believed) -> Plan:
        """What this mark leads to. Raises KeyRefusedError where that is nothing yet, or nothing at all."""
        for mark, wanted in self._candidates(tx):
            if mark.id == mark_id:
                if not self._within_a_day([(mark, wanted)], known)[0]:
                    raise KeyRefusedError(reason="so many recordings in one day must be confirmed")
                return wanted
        raise KeyRefusedError(
            reason="the mark is not due, was withdrawn, or a legal hold keeps what it names"
        )

    def _within_a_day(self, found: list[tuple[Mark, Plan]], known: Believed) -> tuple[list[Plan], int]:
        """Those that may go today, and how many wait to be confirmed: a rule, or a mistake in one, must not
        empty the vault over a night."""
        since = known.now - DAY
        confirmed = self._heeded.confirmed is not None and self._heeded.confirmed >= since
        entries = [each for each in self._custody.erasures.chain().entries if each.kind == ERASE]
        today = sum(len(each.body["recordings"]) for each in entries if each.moment >= since)
        percent = self._desk.settings.erase.daily_percent
        limit = max(ALWAYS, (len(known.keyed) + today) * percent // 100)
        due, waiting = [], 0
        for _, wanted in found:
            if confirmed or today + len(wanted.recordings) <= limit:
                today += len(wanted.recordings)
                due.append(wanted)
            else:
                waiting += 1
        return due, waiting


def _told(entry: Entry) -> dict[str, Any]:
    body = entry.body
    told = {name: body[name] for name in ("mark", "person", "recordings", "kept")}
    return {"seq": entry.seq, "at": entry.at, **told}
