"""Read the weights of a CTranslate2 `model.bin` (format of its specification version 6)."""

from __future__ import annotations

import struct

import numpy as np

DATA_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


class WeightsUnreadableError(Exception):
    """The file is not a CTranslate2 model that this reader knows."""


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from("<" + form, self.data, self.position)
        self.position += struct.calcsize("<" + form)
        return value

    def text(self) -> str:
        length = self.number("H")  # counts the closing zero byte
        value = self.data[self.position : self.position + length - 1].decode()
        self.position += length
        return value


def read_weights(data: bytes) -> dict[str, np.ndarray]:
    """Map variable names (`encoder/layer_0/…`) to arrays, aliases included. Raises WeightsUnreadableError."""
    cursor = _Cursor(data)
    try:
        version, _name, _revision = cursor.number("I"), cursor.text(), cursor.number("I")
        if version != 6:
            raise WeightsUnreadableError(f"CTranslate2 file version {version} is not known, only 6")
        weights: dict[str, np.ndarray] = {}
        for _ in range(cursor.number("I")):
            name = cursor.text()
            shape = [cursor.number("I") for _ in range(cursor.number("B"))]
            data_type = np.dtype(DATA_TYPES[cursor.number("B")])
            size = cursor.number("I")
            count = size // data_type.itemsize
            weights[name] = np.frombuffer(data, data_type, count, cursor.position).reshape(shape)
            cursor.position += size
        for _ in range(cursor.number("I")):
            alias = cursor.text()
            weights[alias] = weights[cursor.text()]
    except (struct.error, UnicodeDecodeError, IndexError, KeyError, ValueError) as error:
        raise WeightsUnreadableError(f"not a whole CTranslate2 model: {error}") from error
    return weights
