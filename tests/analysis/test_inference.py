"""The inference library keeps nothing about its use and calls nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from analysis.inference import open_session
open_session(Path(sys.argv[1]), 2).run(None, {"x": __import__("numpy").zeros((1, 4), "float32")})
"""


def test_a_session_leaves_no_trace_outside_the_process(tmp_path):
    from onnx import TensorProto, helper, save

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    save(model, tmp_path / "model.onnx")
    home = tmp_path / "home"
    home.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_"))}
    environment = clean | {"HOME": str(home), "PYTHONPATH": str(ROOT), "CI": ""}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "model.onnx")]
    subprocess.run(command, env=environment, check=True, timeout=120, cwd=tmp_path)
    assert list(home.rglob("*")) == []


def test_the_library_is_imported_in_one_place_only():
    importers = [
        path.relative_to(ROOT).as_posix()
        for folder in ("analysis", "appliance", "webui", "storage")
        for path in (ROOT / folder).rglob("*.py")
        if any(line.strip().startswith(("import onnxruntime", "from onnxruntime")) for line in path.open())
    ]
    assert importers == ["analysis/inference.py"]
