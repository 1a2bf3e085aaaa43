"""What can go wrong with one recording's media. `kind` travels to the parent process as it is."""

from __future__ import annotations


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
    """The result could not be written."""

    kind = "output"
