"""Inputs as an attacker or a dying disk makes them: cuts, flips, repeats, splices and lies about lengths."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

_LIMITS = (0, 1, 0x7F, 0x80, 0xFF)
_NUMBERS = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutants(corpus: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` inputs, always the same for one seed."""
    rng = random.Random(seed)
    return (mutate(corpus, rng) for _ in range(count))


def mutate(corpus: Sequence[bytes], rng: random.Random) -> bytes:
    """One of the corpus with one to four changes."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(9):
            case 0:
                del data[at:]
            case 1 if at < len(data):
                data[at] = rng.choice((*_LIMITS, rng.randrange(256)))
            case 2 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 3:
                data[at:at] = data[: rng.randrange(40)]
            case 4:
                data[at:at] = rng.randbytes(rng.randrange(40))
            case 5:
                del data[at : at + rng.randrange(8)]
            case 6:
                width = rng.choice((2, 4))
                data[at : at + width] = (rng.choice(_NUMBERS) % (1 << 8 * width)).to_bytes(width, "big")
            case 7:
                other = rng.choice(corpus)
                data[at:] = other[rng.randrange(len(other) + 1) :]
            case _:
                start = rng.randrange(len(data) + 1)
                data[at:at] = data[start : start + rng.randrange(200)]
    return bytes(data)


def peak_bytes(run: Callable[[], object]) -> int:
    """The most memory that Python held at once while this ran, above what it held before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
