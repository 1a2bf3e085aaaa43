"""What intake refuses, in words a candidate can act on. Codes are part of the intake API."""

from __future__ import annotations

from typing import Any

from appliance.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidInputError,
    NotFoundError,
    StorageFullError,
    TooLargeError,
    UnauthenticatedError,
)


class LinkUnknownError(NotFoundError):
    """Unknown and forged links look the same."""

    code = "unknown_link"
    message = "This link is not valid. Please open the link exactly as it stands in your mail."


class LinkReplacedError(GoneError):
    code = "replaced"
    message = "This link has been replaced by a newer one. Please open the latest mail from us."


class ExpiredError(GoneError):
    code = "expired"
    message = "The time for this interview is over. Please write to the person who invited you."


class LateEpochError(ExpiredError):
    """An epoch begun after the deadline; what was begun before is still taken."""

    code = "late"


class FinishedError(GoneError):
    code = "finished"
    message = "This interview is finished and complete. There is nothing more to do."


class SealedError(GoneError):
    code = "sealed"
    message = "This interview has been received and closed. Nothing more can be added."


class BoundElsewhereError(ConflictError):
    code = "bound_elsewhere"
    message = (
        "This interview was begun in another browser. A fresh link for this one is on its way to you by mail."
    )


class SupersededError(ConflictError):
    code = "superseded"
    message = "This interview goes on in another browser now. What was recorded here is still being sent."


class TokenMissingError(UnauthenticatedError):
    code = "token_missing"
    message = "This browser has not begun the interview. Please open the link in your mail."


class TokenUnknownError(ForbiddenError):
    code = "token_unknown"
    message = "This browser has not begun this interview. Please open the link in your mail."


class BadRequestFieldError(InvalidInputError):
    code = "bad_field"
    message = "What the page sent was not understood (%(what)s). Please reload the page."


class BadSignatureError(InvalidInputError):
    code = "bad_signature"
    message = "The signature of this browser does not fit. Please reload the page."


class BadDigestError(InvalidInputError):
    code = "bad_digest"
    message = "A piece arrived damaged. It is being sent again."


class BadOpeningError(InvalidInputError):
    code = "bad_opening"
    message = "A piece was not sealed for this interview (%(kind)s)."


class EmptyChunkError(InvalidInputError):
    code = "empty_chunk"
    message = "A piece arrived empty."


class DifferentChunkError(ConflictError):
    code = "different_chunk"
    message = "A piece was sent twice with different content. Both are kept and an administrator is told."


class ConsentMissingError(ConflictError):
    code = "consent_missing"
    message = "Please read the rules and agree to being recorded first."


class QuestionOrderError(ConflictError):
    code = "question_order"
    message = "The questions come one after the other. Please reload the page."


class FinishedDifferentlyError(ConflictError):
    code = "finished_differently"
    message = "This interview was already finished with another list."


class ChunksMissingError(ConflictError):
    """`missing` is a list of {"track", "epoch", "missing": [[first, last], …], "end": bool}."""

    code = "chunks_missing"
    message = "Some pieces have not arrived yet. Please keep this page open."

    def __init__(self, missing: list[dict[str, Any]]) -> None:
        self.missing = missing
        super().__init__(extra={"missing": missing})


class ChunkTooLargeError(TooLargeError):
    code = "chunk_too_large"
    message = "A piece is larger than the limit of %(limit)s bytes."


class RecordingTooLargeError(TooLargeError):
    code = "recording_too_large"
    message = "This interview has reached its limit of %(limit)s bytes. Please finish it."


class TooManyEpochsError(TooLargeError):
    code = "too_many_epochs"
    message = "This page was reloaded too often (limit %(limit)s). Please write to who invited you."


class TooManyRecordsError(TooLargeError):
    code = "too_many_records"
    message = "Too many requests for this interview (limit %(limit)s)."


class RecordsTooLargeError(TooLargeError):
    code = "records_too_large"


class IntakeFullError(StorageFullError):
    code = "full"
    retry_after_seconds = 60
