"""Whisper from CTranslate2 weights to two ONNX graphs with an explicit key-value cache, in int8.

Encoder: mel [B,80,3000] → cross_k_0 … cross_v_5, for each decoder layer [B,heads,1500,64].
Decoder: tokens [B,T], past_k, past_v [layers,B,heads,P,64], cross_k_0 … cross_v_5
         → logits [B,1,vocabulary] of the last position, new_k, new_v [layers,B,heads,P+T,64].

The large cross tensors are apart for each layer: taking one layer out of a joint tensor would copy 37 MB
for every word piece, a third of the decoder's time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from analysis import inference  # noqa: F401 - before onnxruntime: it switches off the telemetry in it

from .graph import FLOAT, INT64, Graph

# isort: split
from onnxruntime.quantization import QuantType, quantize_dynamic

HEAD = 64  # width of one attention head in every Whisper model
AUDIO_POSITIONS = 1500


class WhisperConverter:
    """Builds the graphs of one model; `weights` as read by `ctranslate2.read_weights`."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights
        self.width = int(weights["encoder/layer_norm/gamma"].shape[0])
        self.heads = self.width // HEAD
        self.layers = 1 + max(
            int(name.split("/")[1].removeprefix("layer_"))
            for name in weights
            if name.startswith("encoder/layer_") and not name.startswith("encoder/layer_norm")
        )
        self.vocabulary = int(weights["decoder/embeddings/weight"].shape[0])
        self.query = slice(0, self.width)
        self.key = slice(self.width, 2 * self.width)
        self.value = slice(2 * self.width, 3 * self.width)

    def _weight(self, name: str) -> np.ndarray:
        return self.weights[name].astype(np.float32)

    # Building blocks. `x` is [B, positions, width] unless said otherwise.

    def _linear(self, g: Graph, x: str, name: str, rows: slice = slice(None)) -> str:
        product = g.add("MatMul", x, g.constant(self._weight(f"{name}/weight")[rows].T))
        if f"{name}/bias" not in self.weights:
            return product
        return g.add("Add", product, g.constant(self._weight(f"{name}/bias")[rows]))

    def _norm(self, g: Graph, x: str, name: str) -> str:
        gamma, beta = g.constant(self._weight(f"{name}/gamma")), g.constant(self._weight(f"{name}/beta"))
        return g.add("LayerNormalization", x, gamma, beta, axis=-1, epsilon=1e-5)

    def _gelu(self, g: Graph, x: str) -> str:
        erf = g.add("Erf", g.add("Div", x, g.constant(np.float32(2**0.5))))
        half = g.add("Mul", x, g.constant(np.float32(0.5)))
        return g.add("Mul", half, g.add("Add", erf, g.constant(np.float32(1))))

    def _split_heads(self, g: Graph, x: str, output: str = "") -> str:
        shaped = g.add("Reshape", x, g.integers(0, 0, self.heads, HEAD))
        return g.add("Transpose", shaped, output=output, perm=[0, 2, 1, 3])

    def _attend(self, g: Graph, query: str, key: str, value: str, mask: str = "") -> str:
        scaled = g.add("Mul", query, g.constant(np.float32(HEAD**-0.5)))
        scores = g.add("MatMul", scaled, g.add("Transpose", key, perm=[0, 1, 3, 2]))
        if mask:
            scores = g.add("Add", scores, mask)
        mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), value)
        merged = g.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return g.add("Reshape", merged, g.integers(0, 0, self.width))

    def _feed_forward(self, g: Graph, x: str, name: str) -> str:
        inner = self._gelu(g, self._linear(g, self._norm(g, x, f"{name}/layer_norm"), f"{name}/linear_0"))
        return g.add("Add", x, self._linear(g, inner, f"{name}/linear_1"))

    # The two graphs.

    def encoder(self) -> onnx.ModelProto:
        """Sound to the keys and values that every decoder layer looks at."""
        g, x = Graph(), "mel"
        for name, stride in (("conv1", 1), ("conv2", 2)):
            weight = g.constant(self._weight(f"encoder/{name}/weight"))
            bias = g.constant(self._weight(f"encoder/{name}/bias"))
            convolved = g.add("Conv", x, weight, bias, strides=[stride], pads=[1, 1], kernel_shape=[3])
            x = self._gelu(g, convolved)
        positions = g.constant(self._weight("encoder/position_encodings/encodings"))
        x = g.add("Add", g.add("Transpose", x, perm=[0, 2, 1]), positions)
        for layer in range(self.layers):
            name = f"encoder/layer_{layer}/self_attention"
            normed = self._norm(g, x, f"{name}/layer_norm")
            query, key, value = (
                self._split_heads(g, self._linear(g, normed, f"{name}/linear_0", rows))
                for rows in (self.query, self.key, self.value)
            )
            attended = self._attend(g, query, key, value)
            x = g.add("Add", x, self._linear(g, attended, f"{name}/linear_1"))
            x = self._feed_forward(g, x, f"encoder/layer_{layer}/ffn")
        x = self._norm(g, x, "encoder/layer_norm")
        for layer in range(self.layers):
            name = f"decoder/layer_{layer}/attention/linear_1"
            for cross, rows in (("k", slice(0, self.width)), ("v", slice(self.width, None))):
                found = self._linear(g, x, name, rows)
                self._split_heads(g, found, output=f"cross_{cross}_{layer}")
        inputs = {"mel": (FLOAT, ["B", 80, 2 * AUDIO_POSITIONS])}
        return g.model("whisper_encoder", inputs, self._cross_tensors())

    def decoder(self) -> onnx.ModelProto:
        """Tokens to the logits of the next one, with the cache passed in and out."""
        g = Graph()
        past = g.add("Slice", g.add("Shape", "past_k"), g.integers(3), g.integers(4))
        given = g.add("Slice", g.add("Shape", "tokens"), g.integers(1), g.integers(2))
        total = g.add("Add", past, given)
        embedded = g.add("Gather", g.constant(self._weight("decoder/embeddings/weight")), "tokens")
        encodings = g.constant(self._weight("decoder/position_encodings/encodings"))
        x = g.add("Add", embedded, g.add("Slice", encodings, past, total, g.integers(0)))
        mask = self._causal_mask(g, past, total)
        new_keys, new_values = [], []
        for layer in range(self.layers):
            index = g.constant(np.array(layer, np.int64))
            name = f"decoder/layer_{layer}/self_attention"
            normed = self._norm(g, x, f"{name}/layer_norm")
            query, key, value = (
                self._split_heads(g, self._linear(g, normed, f"{name}/linear_0", rows))
                for rows in (self.query, self.key, self.value)
            )
            key = g.add("Concat", g.add("Gather", "past_k", index, axis=0), key, axis=2)
            value = g.add("Concat", g.add("Gather", "past_v", index, axis=0), value, axis=2)
            new_keys.append(g.add("Unsqueeze", key, g.integers(0)))
            new_values.append(g.add("Unsqueeze", value, g.integers(0)))
            attended = self._attend(g, query, key, value, mask)
            x = g.add("Add", x, self._linear(g, attended, f"{name}/linear_1"))
            name = f"decoder/layer_{layer}/attention"
            normed = self._norm(g, x, f"{name}/layer_norm")
            query = self._split_heads(g, self._linear(g, normed, f"{name}/linear_0"))
            attended = self._attend(g, query, f"cross_k_{layer}", f"cross_v_{layer}")
            x = g.add("Add", x, self._linear(g, attended, f"{name}/linear_2"))
            x = self._feed_forward(g, x, f"decoder/layer_{layer}/ffn")
        x = self._norm(g, x, "decoder/layer_norm")
        last = g.add("Slice", x, g.integers(-1), g.integers(2**62), g.integers(1))
        g.add("MatMul", last, g.constant(self._projection().T), output="logits")
        g.add("Concat", *new_keys, output="new_k", axis=0)
        g.add("Concat", *new_values, output="new_v", axis=0)
        cached, grown = self._cache_shape("P"), self._cache_shape("Q")
        return g.model(
            "whisper_decoder",
            {
                "tokens": (INT64, ["B", "T"]),
                "past_k": (FLOAT, cached),
                "past_v": (FLOAT, cached),
                **self._cross_tensors(),
            },
            {
                "logits": (FLOAT, ["B", 1, self.vocabulary]),
                "new_k": (FLOAT, grown),
                "new_v": (FLOAT, grown),
            },
        )

    def _causal_mask(self, g: Graph, past: str, total: str) -> str:
        zero, one = g.constant(np.array(0, np.int64)), g.constant(np.array(1, np.int64))
        first, end = g.add("Squeeze", past, g.integers(0)), g.add("Squeeze", total, g.integers(0))
        rows = g.add("Unsqueeze", g.add("Range", first, end, one), g.integers(1))
        columns = g.add("Unsqueeze", g.add("Range", zero, end, one), g.integers(0))
        later = g.add("Greater", columns, rows)
        return g.add("Where", later, g.constant(np.float32(-1e9)), g.constant(np.float32(0)))

    def _projection(self) -> np.ndarray:
        own = "decoder/projection/weight"
        return self._weight(own if own in self.weights else "decoder/embeddings/weight")

    def _cache_shape(self, positions: str) -> list:
        return [self.layers, "B", self.heads, positions, HEAD]

    def _cross_tensors(self) -> dict[str, tuple[int, list]]:
        shape = ["B", self.heads, AUDIO_POSITIONS, HEAD]
        return {f"cross_{kind}_{layer}": (FLOAT, shape) for kind in "kv" for layer in range(self.layers)}


def write_int8(model: onnx.ModelProto, path: Path, operations: list[str]) -> None:
    """Quantise the weights of `operations` to int8, one scale a channel, and write the file.

    Only products with a constant are quantised: attention scores keep their precision.
    """
    quantize_dynamic(
        model,
        path,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=operations,
        per_channel=True,
        extra_options={"MatMulConstBOnly": True},
    )
