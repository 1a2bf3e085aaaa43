"""What comes over the keyholder's socket: other users, junk, too much."""

from __future__ import annotations

import json
import os
import socket
import uuid
from typing import Any

import pytest

from appliance.config import Settings
from appliance.errors import InvalidInputError, KeyRefusedError
from appliance.keyholder.client import Keyholder
from appliance.keyholder.wire import MAX_LINE_BYTES
from tests.support import factory
from tests.support.keyholder import running_keyholder


def raw(settings: Settings, request: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(settings.keyholder_socket))
        connection.sendall(request)
        answer: dict[str, Any] = json.loads(connection.makefile("rb").readline())
        return answer


def test_processes_of_other_users_are_not_answered(settings: Settings) -> None:
    with running_keyholder(settings) as server:
        server.allowed = frozenset({os.geteuid() + 1})
        with pytest.raises(KeyRefusedError):
            Keyholder(settings).status()


@pytest.mark.parametrize(
    "request_line",
    [
        b"\n",
        b"[]\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b"{}\n",
        b'{"op":"answer"}\n',
        b'{"op":"file_keys","recording":"x","event":"y","purpose":"seal"}\n',
        b'{"op":"sign","kind":"packet","statement":"x"}\n',
    ],
    ids=range(8),
)
def test_junk_gets_a_typed_error(settings: Settings, keyholder: Keyholder, request_line: bytes) -> None:
    assert raw(settings, request_line)["error"]["code"] == InvalidInputError.code
    assert not keyholder.status().locked


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("headers", ["!!"]),
        ("headers", [1]),
        ("headers", ["AA=="] * 257),
        ("headers", "AA=="),
        ("recording", 1),
        ("event", None),
    ],
)
def test_misshapen_fields_get_a_typed_error(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes, field: str, value: object
) -> None:
    event = factory.worker_event(settings, recording, "seal")
    request = {
        "op": "file_keys",
        "recording": str(recording),
        "event": str(event.id),
        "purpose": "seal",
        "headers": [],
        field: value,
    }
    assert raw(settings, json.dumps(request).encode() + b"\n")["error"]["code"] == InvalidInputError.code


def test_a_request_over_the_limit_is_refused_without_reading_on(
    settings: Settings, keyholder: Keyholder
) -> None:
    answer = raw(settings, b"x" * (MAX_LINE_BYTES + 1))
    assert answer["error"]["code"] == InvalidInputError.code
    assert not keyholder.status().locked
