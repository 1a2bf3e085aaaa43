"""What can go wrong with one recording's media. `kind` travels to the parent process as it is."""

from __future__ import annotations

from storage.stream import VaultFull


class AnalysisError(Exception):
    """Base of every expected failure of the child; the message never quotes the recording."""

    kind = "analysis"


class RequestError(AnalysisError):
    """The parent asked for something that this version does not know."""

    kind = "request"


class MediaError(AnalysisError):
    """The media cannot be read; `kind` says why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class OutputError(AnalysisError):
    """The result could not be written; `kind` is `full` where only room was missing."""

    kind = "output"

    def __init__(self, message: str, cause: Exception | None = None) -> None:
        super().__init__(f"{message}: {type(cause).__name__}" if cause else message)
        if isinstance(cause, VaultFull) or (isinstance(cause, OutputError) and cause.kind == "full"):
            self.kind = "full"
