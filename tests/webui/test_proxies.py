"""Behind reverse proxies: whose word about the client's address is believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask, request

from appliance.config import Database, Settings
from webui.intake import app as intake
from webui.staff import app as staff


@pytest.mark.parametrize("create", [staff.create_app, intake.create_app], ids=["staff", "intake"])
@pytest.mark.parametrize(
    ("trusted", "believed"), [(0, "10.0.0.1"), (1, "198.51.100.7"), (2, "203.0.113.9")], ids=str
)
def test_of_forwarded_addresses_only_those_of_our_proxies_are_believed(
    create: Callable[[Settings], Flask], trusted: int, believed: str, tmp_path: Path
) -> None:
    settings = Settings(
        tmp_path, "http://localhost", "http://127.0.0.1", Database("/nowhere"), trusted_proxies=trusted
    )
    app = create(settings)
    seen: list[str | None] = []
    app.before_request_funcs.setdefault(None, []).insert(
        0, lambda: seen.append(f"{request.remote_addr} {request.host} {request.scheme}")
    )
    forged = {
        "X-Forwarded-For": "192.0.2.66, 203.0.113.9, 198.51.100.7",
        "X-Forwarded-Host": "elsewhere.example",
        "X-Forwarded-Proto": "https",
    }
    app.test_client().get("/nowhere", headers=forged, environ_base={"REMOTE_ADDR": "10.0.0.1"})
    assert seen == [f"{believed} localhost http"]
