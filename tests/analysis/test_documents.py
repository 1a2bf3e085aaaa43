from __future__ import annotations

import os
import uuid

import pytest

from analysis.documents import Output, write_document
from analysis.errors import OutputError
from storage.vault import derive_file_key, new_header, new_key


def test_a_document_for_which_there_is_no_room_says_so() -> None:
    header = new_header(uuid.uuid4(), uuid.uuid4(), "document", "report")
    descriptor = os.open("/dev/full", os.O_RDWR)
    try:
        with pytest.raises(OutputError) as refused:
            write_document(Output(descriptor, header.raw, derive_file_key(new_key(), header)), {"a": "b"})
    finally:
        os.close(descriptor)
    assert refused.value.kind == "full"
