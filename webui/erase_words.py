"""What erasing and its states are called to people."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from appliance.domain import EraseBasis, HoldReason, MarkState


def basis(name: str) -> str:
    """Why somebody's data is erased."""
    return {
        EraseBasis.REQUEST: _("The person asked for it"),
        EraseBasis.CONSENT_WITHDRAWN: _("Consent was withdrawn"),
        EraseBasis.RETENTION_ENDED: _("The time for which it is kept is over"),
        EraseBasis.RECORDED_IN_ERROR: _("It was recorded in error"),
    }.get(EraseBasis(name), name)


def hold_reason(name: str) -> str:
    """Why something must be kept."""
    return {
        HoldReason.DISPUTE: _("A dispute or a lawsuit"),
        HoldReason.INVESTIGATION: _("An inquiry inside the company"),
        HoldReason.AUTHORITY: _("An authority or a court ordered it"),
    }.get(HoldReason(name), name)


def mark_state(state: str, *, held: bool = False) -> tuple[str, str]:
    """Label and chip of how far an erasure is."""
    if state == MarkState.MARKED and held:
        return _("Kept by a legal hold"), "warn"
    labels: dict[str, tuple[str, str]] = {
        MarkState.MARKED: (_("Will be erased"), "warn"),
        MarkState.ERASING: (_("Being erased"), "busy"),
        MarkState.WITHDRAWN: (_("Withdrawn"), ""),
        MarkState.ERASED: (_("Erased"), "safe"),
    }
    return labels.get(state, (state, ""))


def actions() -> dict[str, str]:
    """The actions of erasing on the audit log."""
    return {
        "erase:mark": _("marked for erasure"),
        "erase:withdraw": _("withdrew a mark for erasure"),
        "erase:hold": _("set a legal hold"),
        "erase:lift-hold": _("lifted a legal hold"),
        "erase:confirm-many": _("let many be erased in one day"),
        "erase:run": _("keys are to be destroyed"),
        "erase:done": _("erased"),
    }


def for_templates() -> dict[str, Any]:
    """Template functions."""
    return {"basis_word": basis, "hold_word": hold_reason, "mark_word": mark_state}
