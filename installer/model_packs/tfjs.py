"""A TensorFlow.js graph model (model.json and its weights) to ONNX.

Knows the operations of the face detector and refuses any other: a converter that guesses is worse than
none. TensorFlow lays pictures out as NHWC, ONNX convolutions as NCHW; the transposes put between them
are folded away by onnxruntime when it loads the file.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from .graph import FLOAT, Graph

STORED_TYPES = {"float32": np.float32, "int32": np.int32, "float16": np.float16}


class UnknownOperationError(Exception):
    """The model uses an operation that this converter does not know."""


def read_tensors(manifest: list[dict[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    """Cut the weight file into named arrays; half-precision ones become float32."""
    tensors: dict[str, np.ndarray] = {}
    position = 0
    for group in manifest:
        for entry in group["weights"]:
            stored = np.dtype(STORED_TYPES[entry.get("quantization", entry)["dtype"]])
            count = int(np.prod(entry["shape"])) if entry["shape"] else 1
            array = np.frombuffer(data, stored, count, position).reshape(entry["shape"])
            position += count * stored.itemsize
            tensors[entry["name"]] = array.astype(STORED_TYPES[entry["dtype"]])
    if position != len(data):
        raise UnknownOperationError(f"the weights are {len(data)} bytes, the manifest names {position}")
    return tensors


def _attribute(node: dict[str, Any], name: str, default: Any = None) -> Any:
    given = node.get("attr", {}).get(name)
    if given is None:
        return default
    if "list" in given:
        values = given["list"]
        if "i" in values:
            return [int(value) for value in values["i"]]
        return [base64.b64decode(value).decode() for value in values.get("s", [])]
    if "i" in given:
        return int(given["i"])
    if "s" in given:
        return base64.b64decode(given["s"]).decode()
    return given.get("b", default)


class TfjsConverter:
    """Walks the TensorFlow nodes in dependency order and adds their ONNX counterparts."""

    def __init__(self, model: dict[str, Any], data: bytes) -> None:
        self.nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        self.signature = model["signature"]
        self.tensors = read_tensors(model["weightsManifest"], data)
        self.graph = Graph()
        self.inputs: dict[str, tuple[int, list]] = {}
        self._placed: set[str] = set()
        self._convert: dict[str, Callable[[dict[str, Any], list[str]], None]] = {
            "Placeholder": self._placeholder,
            "_FusedConv2D": self._convolution,
            "FusedDepthwiseConv2dNative": self._convolution,
            "Pad": self._pad,
            "AddV2": self._plain,
            "Relu": self._plain,
            "Identity": self._plain,
            "DepthToSpace": self._depth_to_space,
            "Shape": self._shape,
            "StridedSlice": self._strided_slice,
            "Pack": self._pack,
            "Reshape": self._reshape,
            "ResizeBilinear": self._resize,
            "ConcatV2": self._concat,
        }

    def convert(self, name: str) -> onnx.ModelProto:
        """The whole model. Raises UnknownOperationError."""
        for node in self._ordered():
            if node["op"] == "Const":
                continue
            if node["op"] not in self._convert:
                raise UnknownOperationError(f"operation {node['op']} is not known")
            inputs = [_bare(text) for text in node.get("input", []) if not text.startswith("^")]
            self._convert[node["op"]](node, inputs)
        outputs = sorted(_bare(entry["name"]) for entry in self.signature["outputs"].values())
        return self.graph.model(name, self.inputs, dict.fromkeys(outputs, (FLOAT, None)))

    def _ordered(self) -> list[dict[str, Any]]:
        ordered: list[dict[str, Any]] = []
        seen: set[str] = set()
        for start in self.nodes:
            stack = [(start, False)]
            while stack:
                name, ready = stack.pop()
                if name in seen:
                    continue
                if ready:
                    seen.add(name)
                    ordered.append(self.nodes[name])
                    continue
                stack.append((name, True))
                stack.extend((_bare(text), False) for text in self.nodes[name].get("input", []))
        return ordered

    # Operands

    def _operand(self, name: str) -> str:
        """The ONNX name of a value; a TensorFlow constant is added when first used."""
        if name in self.tensors and name not in self._placed:
            self._placed.add(name)
            self.graph.constant(self.tensors[name], name)
        return name

    def _integers(self, name: str) -> list[int]:
        return [int(value) for value in np.atleast_1d(self.tensors[name])]

    def _to_planes(self, x: str) -> str:
        return self.graph.add("Transpose", x, perm=[0, 3, 1, 2])

    def _to_pixels(self, x: str, output: str) -> str:
        return self.graph.add("Transpose", x, perm=[0, 2, 3, 1], output=output)

    # Operations

    def _placeholder(self, node: dict[str, Any], _inputs: list[str]) -> None:
        sizes = [int(entry["size"]) for entry in node["attr"]["shape"]["shape"]["dim"]]
        self.inputs[node["name"]] = (FLOAT, [1 if size < 0 else size for size in sizes])

    def _plain(self, node: dict[str, Any], inputs: list[str]) -> None:
        operation = {"AddV2": "Add"}.get(node["op"], node["op"])
        self.graph.add(operation, *(self._operand(name) for name in inputs), output=node["name"])

    def _convolution(self, node: dict[str, Any], inputs: list[str]) -> None:
        g, kernel = self.graph, self.tensors[inputs[1]]
        if "Depthwise" in node["op"]:
            height, width, channels, multiplier = kernel.shape
            weight = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
            groups = channels
        else:
            weight, groups = kernel.transpose(3, 2, 0, 1), 1
        fused = _attribute(node, "fused_ops", [])
        if fused not in (["BiasAdd"], ["BiasAdd", "Relu"]):
            raise UnknownOperationError(f"convolution fused with {fused} is not known")
        strides = _attribute(node, "strides")
        x = g.add(
            "Conv",
            self._to_planes(self._operand(inputs[0])),
            g.constant(weight),
            g.constant(self.tensors[inputs[2]].reshape(-1)),
            kernel_shape=list(weight.shape[2:]),
            strides=strides[1:3],
            dilations=_attribute(node, "dilations", [1, 1, 1, 1])[1:3],
            group=groups,
            auto_pad="SAME_UPPER" if _attribute(node, "padding") == "SAME" else "VALID",
        )
        if len(fused) == 2:
            x = g.add("Relu", x)
        self._to_pixels(x, node["name"])

    def _pad(self, node: dict[str, Any], inputs: list[str]) -> None:
        pads = self.tensors[inputs[1]]
        amounts = self.graph.integers(*(int(n) for n in [*pads[:, 0], *pads[:, 1]]))
        self.graph.add("Pad", self._operand(inputs[0]), amounts, output=node["name"])

    def _depth_to_space(self, node: dict[str, Any], inputs: list[str]) -> None:
        x = self._to_planes(self._operand(inputs[0]))
        x = self.graph.add("DepthToSpace", x, blocksize=_attribute(node, "block_size"), mode="DCR")
        self._to_pixels(x, node["name"])

    def _shape(self, node: dict[str, Any], inputs: list[str]) -> None:
        self.graph.add("Shape", self._operand(inputs[0]), output=node["name"])

    def _strided_slice(self, node: dict[str, Any], inputs: list[str]) -> None:
        begin, end, step = (self._integers(name) for name in inputs[1:4])
        if _attribute(node, "shrink_axis_mask", 0) != 1 or len(begin) != 1 or step != [1]:
            raise UnknownOperationError("only picking one number out of a shape is known")
        del end
        index = self.graph.constant(np.array(begin[0], np.int64))
        self.graph.add("Gather", self._operand(inputs[0]), index, axis=0, output=node["name"])

    def _pack(self, node: dict[str, Any], inputs: list[str]) -> None:
        parts = [
            self.graph.integers(*self._integers(name))
            if name in self.tensors
            else self.graph.add("Unsqueeze", name, self.graph.integers(0))
            for name in inputs
        ]
        self.graph.add("Concat", *parts, axis=0, output=node["name"])

    def _reshape(self, node: dict[str, Any], inputs: list[str]) -> None:
        shape = self.graph.integers(*self._integers(inputs[1])) if inputs[1] in self.tensors else inputs[1]
        self.graph.add("Reshape", self._operand(inputs[0]), shape, output=node["name"])

    def _resize(self, node: dict[str, Any], inputs: list[str]) -> None:
        g = self.graph
        if _attribute(node, "half_pixel_centers", False):
            mode = "half_pixel"
        else:
            mode = "align_corners" if _attribute(node, "align_corners", False) else "asymmetric"
        x = self._to_planes(self._operand(inputs[0]))
        kept = g.add("Slice", g.add("Shape", x), g.integers(0), g.integers(2), g.integers(0))
        sizes = g.add("Concat", kept, g.integers(*self._integers(inputs[1])), axis=0)
        resized = g.add("Resize", x, "", "", sizes, mode="linear", coordinate_transformation_mode=mode)
        self._to_pixels(resized, node["name"])

    def _concat(self, node: dict[str, Any], inputs: list[str]) -> None:
        axis = self._integers(inputs[-1])[0]
        parts = [self._operand(name) for name in inputs[:-1]]
        self.graph.add("Concat", *parts, axis=axis, output=node["name"])


def _bare(name: str) -> str:
    return name.split(":")[0].lstrip("^")
