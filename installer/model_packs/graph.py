"""A small ONNX graph under construction: nodes, constants, names that are the same in every build."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64


class Graph:
    """Collects nodes in order. Every name is numbered, so equal input gives equal bytes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._count = 0
        self._integers: dict[tuple[int, ...], str] = {}

    def constant(self, value: np.ndarray | np.generic, name: str = "") -> str:
        """Add an initializer and return its name."""
        self._count += 1
        name = name or f"c{self._count}"
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def integers(self, *values: int) -> str:
        """A one-dimensional int64 constant, made once for equal values."""
        if values not in self._integers:
            self._integers[values] = self.constant(np.array(values, np.int64))
        return self._integers[values]

    def add(self, operation: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output and return that output's name."""
        self._count += 1
        output = output or f"{operation.lower()}{self._count}"
        self.nodes.append(helper.make_node(operation, list(inputs), [output], name=output, **attributes))
        return output

    def model(
        self, name: str, inputs: dict[str, tuple[int, list]], outputs: dict[str, tuple[int, list | None]]
    ) -> onnx.ModelProto:
        """Close the graph. `inputs` and `outputs` map a name to (element type, shape)."""
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(key, *value) for key, value in inputs.items()],
            [helper.make_tensor_value_info(key, *value) for key, value in outputs.items()],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return model
