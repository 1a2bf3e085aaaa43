"""What the states of the domain are called to people, and how they look: (label, chip class)."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import pgettext

from appliance.domain import AnalysisState, AttemptState, RecordingState, Role
from webui import alarm_words, erase_words

# How reasons on the log begin that go on with a name which stays as it is.
NO_PERMISSION = "role does not hold "
NO_RECORD = "record:"


def attempt_state(state: str) -> tuple[str, str]:
    """Label and chip of an attempt's state."""
    labels: dict[str, tuple[str, str]] = {
        AttemptState.INVITED: (_("Invited"), ""),
        AttemptState.CHECKED_IN: (_("Checked in"), "busy"),
        AttemptState.RECORDING: (pgettext("state", "Recording"), "live"),
        AttemptState.FINISHED: (_("Finished"), "safe"),
        AttemptState.EXPIRED: (_("Expired"), "warn"),
    }
    return labels.get(state, (state, ""))


def recording_state(state: str | None) -> tuple[str, str]:
    """Label and chip of where the bytes are."""
    labels: dict[str | None, tuple[str, str]] = {
        None: (_("Nothing recorded yet"), ""),
        RecordingState.COLLECTING: (_("Uploading"), "busy"),
        RecordingState.SEALING: (_("Sealing"), "busy"),
        RecordingState.SEALED: (_("Sealed in the vault"), "safe"),
        RecordingState.FAILED: (_("Could not be sealed"), "stop"),
        RecordingState.ERASED: (pgettext("state", "Erased"), ""),
    }
    return labels.get(state, (state or "", ""))


def analysis_state(state: str | None, progress: int = 0, reason: str | None = None) -> tuple[str, str]:
    """Label and chip of the analysis; a skipped one says why."""
    if state == AnalysisState.SKIPPED:
        return skipped_because(reason), ""
    labels: dict[str | None, tuple[str, str]] = {
        None: (_("Not analysed yet"), ""),
        AnalysisState.QUEUED: (_("Waiting for analysis"), "busy"),
        AnalysisState.RUNNING: (_("Analysing %(percent)s %%", percent=progress), "busy"),
        AnalysisState.DONE: (_("Analysed"), "safe"),
        AnalysisState.FAILED: (_("Analysis failed"), "stop"),
        AnalysisState.CANCELLED: (_("Analysis cancelled: consent withdrawn"), "warn"),
    }
    return labels.get(state, (state or "", ""))


def skipped_because(reason: str | None) -> str:
    """Why there is no analysis."""
    return {
        "no_model_pack": _("No model pack installed"),
        "declined": _("Analysis declined by the candidate"),
        "not_offered": _("Analysis is off for this position"),
        "no_media": _("Nothing to analyse: no picture and no sound"),
    }.get(reason or "", _("Not analysed"))


def role(name: str) -> str:
    """What a role is called."""
    labels: dict[str, str] = {
        Role.RECRUITER: _("Recruiter"),
        Role.DEPARTMENT_HEAD: _("Department head"),
        Role.INTERVIEWER: _("Interviewer"),
        Role.CANDIDATE: _("Candidate"),
        Role.SYSTEM_ADMIN: _("System administrator"),
        Role.SECURITY_ADMIN: _("Security administrator"),
        Role.AUDITOR: _("Auditor"),
    }
    return labels.get(name, name)


def purpose(name: str) -> str:
    """What a consent is about."""
    return {
        "record": _("Recording of picture and sound"),
        "analysis": _("Analysis by computer models"),
        "face": _("Analysis of the face"),
    }.get(name, name)


def gaps() -> dict[str, str]:
    """Why a stretch of a recording is missing, by the reason that sealing wrote down."""
    unopened = _("This part could not be opened")
    return {
        "missing": _("A piece did not arrive"),
        "not_recorded": _("Nothing was recorded between two page loads"),
        "codec_changed": _("The browser changed the format; this part is kept, but not shown"),
        "no_samples": _("The camera or microphone gave nothing here"),
        "unreadable": _("This part is damaged"),
        "clock": _("This part is damaged"),
        "damaged": _("What was stored here is damaged"),
        "cut_short": _("This part ends too early"),
        "empty": _("This part is empty"),
        "limit": _("Too many parts; this one was left out"),
        **dict.fromkeys(("unopenable", "not_opened", "foreign", "day_key", "browser_key"), unopened),
    }


def gap(reason: str) -> str:
    """Why one stretch is missing."""
    return gaps().get(reason, _("Gap"))


def reason(code: str | None) -> str:
    """Why something failed, was refused or ended; a code that is not listed stays as it is."""
    code = code or ""
    if code.startswith(NO_PERMISSION):
        return _("the role does not hold “%(permission)s”", permission=code.removeprefix(NO_PERMISSION))
    if code.startswith(NO_RECORD):
        return _("a record of kind “%(kind)s” was not accepted", kind=code.removeprefix(NO_RECORD))
    return {**_reasons_of_work(), **_reasons_of_people()}.get(code, code)


def waiting(code: str | None) -> str:
    """Why ordered work does not go on right now and what helps; empty where nothing holds it up."""
    if not code or code == "chunk_conflict":
        return ""
    return {
        "vault_locked": _(
            "Waiting: the vault is locked. It goes on by itself once a system administrator unlocks it."
        ),
        "keyholder_down": _(
            "Waiting: the keyholder is not running. It goes on by itself; tell your system administrator."
        ),
        "too_many_keys": _(
            "Waiting: so many recordings were worked on within an hour that the keyholder makes a pause. "
            "It goes on by itself."
        ),
        "storage_down": _(
            "Waiting: the place where recordings are kept does not answer. Nothing is lost, and it goes on "
            "by itself; tell your system administrator."
        ),
        "full": _(
            "Waiting for room: the disk is full. Nothing is lost, and it goes on by itself; "
            "tell your system administrator to make room."
        ),
    }.get(code, _("The last try did not succeed: %(why)s. It is tried again by itself.", why=reason(code)))


def store(state: str) -> str:
    """How a store of sealed files is."""
    return {
        "answers": _("Answers"),
        "refused": _("Refuses the access key"),
        "missing": _("Not there"),
        "read_only": _("Read-only"),
    }.get(state, _("Does not answer"))


def _reasons_of_work() -> dict[str, str]:
    return {
        "vault_locked": _("the vault is locked"),
        "keyholder_down": _("the keyholder is not running"),
        "full": _("the disk is full"),
        "too_many_keys": _("too many recordings within an hour"),
        "bulk_use": _("keys of very many recordings were asked for"),
        "storage_down": _("the place where recordings are kept does not answer"),
        "timeout": _("it took too long"),
        "memory": _("it needed too much memory"),
        "crash": _("its process ended by itself"),
        "output": _("its answer was not understood"),
        "protocol": _("its answer was not understood"),
        "unreadable": _("the recording cannot be read"),
        "unknown_codec": _("the recording is in an unknown format"),
        "picture_too_large": _("the picture is too large"),
        "no_media": _("there is neither picture nor sound"),
        "not_opened": _("a sealed file could not be opened"),
        "chunk_conflict": _("two different pieces arrived for one place"),
        "ChangedError": _("pieces were still arriving"),
        "KeyRefusedError": _("the key was refused"),
        "DamagedError": _("a stored file is damaged"),
        "segment": _("a stored file is damaged"),
        "version": _("it was stored by a newer release of Fupan"),
        "NewerFormatError": _("it was stored by a newer release of Fupan"),
        "missing": _("a stored file is missing"),
        "key": _("the key does not fit"),
        "key_refused": _("the key was refused"),
        "damaged": _("a stored file is damaged"),
        "configuration": _("a setting is wrong"),
        "database_doubtful": _("the database does not fit the vault"),
        "day_keys_kept": _("the database does not fit the vault"),
        "nothing_erased": _("the database does not fit the vault"),
        "erasures_wait": _("many erasures wait to be confirmed"),
        "day_keys_end": _("the day keys come to an end"),
        "damage": _("stored files are damaged"),
        "events_missing": _("uses of keys are not on the log"),
        "intake_knows_more": _("the database does not know interviews that were recorded"),
        "vault_change": _("it cannot be changed in this way now"),
        "unlock": _("a key, share or PIN does not open the vault"),
        "mistyped": _("the share was mistyped"),
        "other_vault": _("the share is of another vault"),
        "old_set": _("the share is of an older set"),
        "pending_set": _("the share is of a set that is not in force yet"),
        "not_issued": _("such a share was never issued"),
        "given_already": _("the share was given already"),
        "wrong_key": _("the shares do not give the key"),
        "too_few": _("too few shares"),
        "too_many": _("too many wrong tries"),
        "wrong_pin": _("the PIN is wrong"),
    }


def _reasons_of_people() -> dict[str, str]:
    return {
        "deadline": _("the deadline passed"),
        "over": _("the interview is over"),
        "invite": _("first invitation"),
        "again": _("a fresh link was asked for"),
        "rebind": _("the link was opened in another browser"),
        "shown": _("the link was shown on the server"),
        "lapsed": _("the page was left"),
        "consent_withdrawn": _("consent was withdrawn"),
        "no_consent": _("there is no consent"),
        "no_relay": _("no mail relay is set; the letter lies in the folder mail/ on the server"),
        "password": _("wrong name or password"),
        "link": _("the link was unknown, used or too old"),
        "wrong current password": _("the current password was wrong, or the account rested"),
        "role changed": _("the role was changed"),
        "password changed": _("the password was changed"),
        "password removed": _("the password was removed"),
        "account disabled": _("the account was disabled"),
        "not in scope": _("not within what this person may see"),
    }


def outcome(name: str) -> str:
    """How an act on the log ended."""
    return {"ok": _("done"), "denied": _("refused"), "failed": _("failed")}.get(name, name)


def object_type(name: str) -> str:
    """What an act on the log was about."""
    return {
        "account": _("Account"),
        "attempt": _("Interview"),
        "candidate": _("Candidate"),
        "erasure": _("Erasure"),
        "hold": _("Legal hold"),
        "log": _("Access log"),
        "page": _("Page"),
        "position": _("Position"),
        "recording": _("Recording"),
        "session": _("Session"),
        "vault": _("Vault"),
    }.get(name, name)


def address(text: str) -> str:
    """Where a request came from: a network address stays as it is."""
    return {"command line": _("command line")}.get(text, text)


def actor_kind(name: str) -> str:
    """Who acts, where it is no account with a role."""
    return {
        "account": _("Account"),
        "candidate": _("Candidate"),
        "unit": _("Fupan itself"),
        "nobody": _("not signed in"),
    }.get(name, name)


def chain_problem(problem: str, entry: int) -> str:
    """What is wrong with the log's chain at an entry."""
    return {
        "the entry was changed": _("The entry was changed."),
        "the entry does not follow the one before it": _("The entry does not follow the one before it."),
        "the end is missing": _("The end of the log is missing."),
        f"entry {entry} is missing": _("Entry %(n)s is missing.", n=entry),
    }.get(problem, problem)


def action(action: str, outcome: str = "ok") -> str:
    """An action in words, by its outcome; unknown ones stay as they are written."""
    told = actions().get(action, action)
    return told if outcome == "ok" else actions_undone().get(action, told)


def actions_undone() -> dict[str, str]:
    """Those of the actions that may fail or be refused, told as what was not done."""
    return {
        "erase:run": _("the keys were not destroyed"),
        "vault:lock": _("locking the vault failed"),
        "vault:unlock": _("unlocking the vault failed"),
        "keys:destroy-day": _("day keys were not destroyed"),
        "vault:share": _("a vault share was refused"),
        "vault:init": _("the vault was not made"),
        "vault:reshare": _("no new vault shares were made"),
        "vault:activate-shares": _("the new vault shares were not put into force"),
        "vault:rekey": _("the vault key was not changed"),
        "vault:rotate": _("a department’s key was not changed"),
        "vault:accept-database": _("what the database lacks was not accepted as lost"),
        "vault:add-slot": _("no slot was added to the vault"),
        "vault:remove-slot": _("the vault’s slot was not removed"),
        "vault:move": _("a recording could not be moved"),
        "vault:repair": _("a damaged recording could not be repaired as a whole"),
        "vault:rebuild": _("rows could not be rebuilt from stored files"),
        "seal:check": _("sealed files could not be read back"),
        "session:sign-in": _("sign-in refused"),
        "account:change": _("account not changed"),
        "note:keep": _("a note was not kept"),
        "note:open": _("notes could not be read"),
        "resume:keep": _("a résumé was not kept"),
        "resume:open": _("a résumé could not be opened"),
    }


def actions() -> dict[str, str]:
    """Every action that the audit log knows, in words."""
    return {
        **erase_words.actions(),
        "position:create": _("created a position"),
        "position:change": _("changed a position"),
        "position:close": _("closed a position"),
        "invite:create": _("invited a candidate"),
        "invite:send": _("interview link issued"),
        "invite:replace": _("fresh link issued"),
        "ingest:pin-browser": _("browser key pinned"),
        "ingest:consent": _("consent stored"),
        "ingest:withdraw-consent": _("consent withdrawn"),
        "ingest:finish": _("interview finished"),
        "ingest:clear": _("uploads removed"),
        "seal:order": _("ordered a seal again"),
        "seal:run": _("sealing began"),
        "seal:done": _("sealed"),
        "seal:fail": _("sealing failed"),
        "seal:check": _("sealed files read back"),
        "analyse:order": _("ordered an analysis again"),
        "analyse:run": _("analysis began"),
        "analyse:done": _("analysed"),
        "analyse:fail": _("analysis failed"),
        "analyse:cancel": _("analysis cancelled"),
        "replay:open": _("opened a replay"),
        "replay:close": _("closed a replay"),
        "note:keep": _("wrote a note"),
        "note:open": _("read notes"),
        "resume:keep": _("attached a résumé"),
        "resume:open": _("opened a résumé"),
        "vault:lock": _("locked the vault"),
        "vault:unlock": _("unlocked the vault"),
        "vault:alarm": _("alarm about the vault"),
        "keys:destroy-day": _("destroyed day keys"),
        "vault:share": _("gave a vault share"),
        "vault:init": _("made the vault"),
        "vault:reshare": _("had new vault shares made"),
        "vault:activate-shares": _("put new vault shares into force"),
        "vault:rekey": _("changed the vault key"),
        "vault:rotate": _("changed a department’s key"),
        "vault:accept-database": _("accepted what the database lacks as lost"),
        "vault:add-slot": _("added a slot to the vault"),
        "vault:remove-slot": _("removed a slot of the vault"),
        "vault:order-move": _("ordered a recording to be moved"),
        "vault:move": _("moved a recording between tiers"),
        "vault:check": _("read stored files to their last byte"),
        "vault:damage": _("stored files are damaged"),
        "vault:repair": _("repaired a damaged recording"),
        "vault:rebuild": _("rebuilt rows from stored files"),
        "session:issue-link": _("sign-in link issued"),
        "session:sign-in": _("signed in"),
        "session:sign-out": _("signed out"),
        "session:kill": _("session ended"),
        "account:create": _("created an account"),
        "account:change": _("changed an account"),
        "assignment:change": _("changed an assignment"),
        "audit:read": _("exported the log"),
        "audit:verify": _("verified the chain"),
        "access:denied": _("was refused"),
    }


def for_templates() -> dict[str, Any]:
    """The functions above, as templates know them."""
    return {
        "attempt_word": attempt_state,
        "recording_word": recording_state,
        "analysis_word": analysis_state,
        "role_word": role,
        "purpose_word": purpose,
        "action_word": action,
        "gap_word": gap,
        "store_word": store,
        "reason_word": reason,
        "waiting_word": waiting,
        "outcome_word": outcome,
        "object_word": object_type,
        "address_word": address,
        "actor_word": actor_kind,
        "chain_problem": chain_problem,
        "alarm_word": alarm_words.alarm,
    }
