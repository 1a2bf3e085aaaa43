"""What the states of the domain are called to people, and how they look: (label, chip class)."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from appliance.domain import AnalysisState, AttemptState, RecordingState, Role


def attempt_state(state: str) -> tuple[str, str]:
    """Label and chip of an attempt's state."""
    return {
        AttemptState.INVITED: (_("Invited"), ""),
        AttemptState.CHECKED_IN: (_("Checked in"), "busy"),
        AttemptState.RECORDING: (_("Recording"), "live"),
        AttemptState.FINISHED: (_("Finished"), "safe"),
        AttemptState.EXPIRED: (_("Expired"), "warn"),
    }.get(state, (state, ""))  # type: ignore[call-overload,no-any-return]  # the keys are str enums


def recording_state(state: str | None) -> tuple[str, str]:
    """Label and chip of where the bytes are."""
    return {
        None: (_("Nothing recorded yet"), ""),
        RecordingState.COLLECTING: (_("Uploading"), "busy"),
        RecordingState.SEALING: (_("Sealing"), "busy"),
        RecordingState.SEALED: (_("Sealed in the vault"), "safe"),
        RecordingState.FAILED: (_("Could not be sealed"), "stop"),
    }.get(state, (state or "", ""))  # type: ignore[call-overload,no-any-return]  # the keys are str enums


def analysis_state(state: str | None, progress: int = 0, reason: str | None = None) -> tuple[str, str]:
    """Label and chip of the analysis; a skipped one says why."""
    if state == AnalysisState.SKIPPED:
        return skipped_because(reason), ""
    return {
        None: (_("Not analysed yet"), ""),
        AnalysisState.QUEUED: (_("Waiting for analysis"), "busy"),
        AnalysisState.RUNNING: (_("Analysing %(percent)s %%", percent=progress), "busy"),
        AnalysisState.DONE: (_("Analysed"), "safe"),
        AnalysisState.FAILED: (_("Analysis failed"), "stop"),
        AnalysisState.CANCELLED: (_("Analysis cancelled: consent withdrawn"), "warn"),
    }.get(state, (state or "", ""))  # type: ignore[call-overload,no-any-return]  # the keys are str enums


def skipped_because(reason: str | None) -> str:
    """Why there is no analysis."""
    return {
        "no_model_pack": _("No model pack installed"),
        "declined": _("Analysis declined by the candidate"),
        "withdrawn": _("Consent to analysis withdrawn"),
        "off": _("Analysis is off for this position"),
    }.get(reason or "", _("Not analysed"))


def role(name: str) -> str:
    """What a role is called."""
    return {
        Role.RECRUITER: _("Recruiter"),
        Role.DEPARTMENT_HEAD: _("Department head"),
        Role.INTERVIEWER: _("Interviewer"),
        Role.CANDIDATE: _("Candidate"),
        Role.SYSTEM_ADMIN: _("System administrator"),
        Role.SECURITY_ADMIN: _("Security administrator"),
        Role.AUDITOR: _("Auditor"),
    }.get(name, name)  # type: ignore[call-overload,no-any-return]  # the keys are str enums


def purpose(name: str) -> str:
    """What a consent is about."""
    return {
        "record": _("Recording of picture and sound"),
        "analysis": _("Analysis by computer models"),
        "face": _("Analysis of the face"),
    }.get(name, name)


def gap(reason: str) -> str:
    """Why a stretch of a recording is missing."""
    return {
        "missing": _("Nothing was recorded here"),
        "reload": _("The page was reloaded here"),
        "lost": _("A piece did not arrive"),
        "unopened": _("This part could not be opened"),
        "damaged": _("This part is damaged"),
    }.get(reason, _("Gap"))


def action(action: str) -> str:
    """An action in words; unknown ones stay as they are written."""
    return {
        "position:create": _("created a position"),
        "position:change": _("changed a position"),
        "position:close": _("closed a position"),
        "invite:create": _("invited a candidate"),
        "invite:send": _("invitation sent"),
        "invite:replace": _("fresh link sent"),
        "ingest:pin-browser": _("browser key pinned"),
        "ingest:consent": _("consent stored"),
        "ingest:withdraw-consent": _("consent withdrawn"),
        "ingest:finish": _("interview finished"),
        "seal:run": _("sealing began"),
        "seal:done": _("sealed"),
        "seal:fail": _("sealing failed"),
        "analyse:run": _("analysis began"),
        "analyse:done": _("analysed"),
        "analyse:fail": _("analysis failed"),
        "analyse:cancel": _("analysis cancelled"),
        "replay:open": _("opened a replay"),
        "replay:watch": _("watched"),
        "replay:close": _("closed a replay"),
        "session:issue-link": _("sign-in link issued"),
        "session:sign-in": _("signed in"),
        "session:sign-out": _("signed out"),
        "session:kill": _("session ended"),
        "account:create": _("created an account"),
        "account:change": _("changed an account"),
        "assignment:change": _("changed an assignment"),
        "audit:read": _("exported the log"),
        "audit:verify": _("verified the chain"),
        "vault:create": _("vault created"),
        "vault:lock": _("vault locked"),
        "vault:unlock": _("vault unlocked"),
        "vault:check": _("vault checked"),
        "access:denied": _("was refused"),
    }.get(action, action)


def for_templates() -> dict[str, Any]:
    """The functions above, as templates know them."""
    return {
        "attempt_word": attempt_state,
        "recording_word": recording_state,
        "analysis_word": analysis_state,
        "role_word": role,
        "purpose_word": purpose,
        "action_word": action,
    }
