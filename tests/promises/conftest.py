"""Prints each promise with its figure: a test states it by `record_property("figure", "…")`."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a figure, under the file that keeps the promise."""
    figures = [
        (report.nodeid.split("::")[0].rsplit("/", 1)[-1].removeprefix("test_").removesuffix(".py"), value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "figure"
    ]
    if figures:
        terminalreporter.section("promises")
        for promise, figure in sorted(figures):
            terminalreporter.line(f"{promise}: {figure}")
