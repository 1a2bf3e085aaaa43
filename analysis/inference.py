"""The one place that imports onnxruntime and opens its sessions.

onnxruntime's own builds for PyPI carry a telemetry client that collects events and sends them to its maker
unless this variable is set before it is loaded. Nothing of ours may call out, so it is set here, and the
sandbox refuses sockets besides.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

__all__ = ["onnxruntime", "open_session"]

ERRORS_ONLY = 3


def open_session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the processor. Small models want one thread; idle threads never spin.

    Spinning threads of several sessions on few cores slow each other down tenfold.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
