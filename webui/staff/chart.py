"""A bar chart as SVG attributes, drawn on the server: no script, and its table is the same numbers."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.reading.access_log import Day

HEIGHT = 110  # of the plot; the axis labels lie below


@dataclass(frozen=True)
class Bar:
    """One day's bar, in percent of the width and units of the plot's height."""

    day: Day
    x: float
    width: float
    ok_y: float
    ok_height: float
    refused_y: float
    refused_height: float
    labelled: bool


@dataclass(frozen=True)
class Chart:
    """Bars with the top of the scale."""

    bars: list[Bar]
    top: int


def bars(days: list[Day]) -> Chart:
    """Stacked bars: what went well below, what was refused on top."""
    top = max((day.ok + day.refused for day in days), default=1)
    step = 100 / max(len(days), 1)
    every = max(1, len(days) // 6)
    drawn = []
    for index, day in enumerate(days):
        ok = day.ok / top * HEIGHT
        refused = day.refused / top * HEIGHT
        drawn.append(
            Bar(
                day=day,
                x=round(index * step + step * 0.1, 3),
                width=round(min(step * 0.8, 6), 3),
                ok_y=round(HEIGHT - ok, 2),
                ok_height=round(ok, 2),
                refused_y=round(HEIGHT - ok - refused, 2),
                refused_height=round(refused, 2),
                labelled=index % every == 0,
            )
        )
    return Chart(drawn, top)
