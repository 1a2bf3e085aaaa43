"""What is asked and said in the demo, and when."""

from __future__ import annotations

from dataclasses import dataclass

LANGUAGE = "en"
READING_MS = 1500  # from the question's appearance to the first word
PAUSE_MS = 700  # between two sentences: a pause that the analysis should find
REST_MS = 600  # from the last word to the next question


@dataclass(frozen=True)
class Line:
    """One question and the sentences of its answer."""

    question: str
    answer: tuple[str, ...]


LINES = (
    Line(
        "Tell us about a time when a plan changed late. What did you do?",
        (
            "In my last project, the deadline moved forward by two weeks.",
            "I listed the risks with my team, and each morning we looked at them again.",
        ),
    ),
    Line(
        "What was the result, and how did you measure it?",
        (
            "We shipped on time, and complaints fell by half.",
            "I counted them every week, before and after the change.",
        ),
    ),
    Line(
        "What would you do differently next time?",
        (
            "I would ask the customer earlier.",
            "One question at the start would have saved us three days of work.",
        ),
    ),
)
