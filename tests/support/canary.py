"""Secrets to be sought where nothing may lie in the clear, in the spellings that programs give to bytes."""

from __future__ import annotations

import base64
import os
import random
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PIECE = 24  # bytes of media: nothing else holds the same by chance
PIECES = 12
BLOCK = 1 << 18  # small, so that a planted file of each needle is read in no time


@dataclass
class Canaries:
    """Name → the bytes that must not be found; the longest decides how blocks overlap."""

    needles: dict[str, bytes] = field(default_factory=dict)

    def text(self, name: str, text: str) -> None:
        """A text, as it stands in files, scripts, forms and mails."""
        spelt = {
            name: text.encode(),
            f"{name} in UTF-16": text.encode("utf-16-le"),
            f"{name} in UTF-16, high byte first": text.encode("utf-16-be"),
            f"{name} in a form": urllib.parse.quote_plus(text).encode(),
            f"{name} in JSON": text.encode("ascii", "backslashreplace"),
        }
        for how, each in spelt.items():
            if each not in self.needles.values():
                self.needles[how] = each
        self._packed(name, text.encode())

    def media(self, name: str, data: bytes) -> None:
        """Pieces of a file from all over it, varied enough to be nobody else's."""
        pick = random.Random(name)
        pieces: list[bytes] = []
        while len(pieces) < PIECES:
            at = pick.randrange(len(data) - PIECE)
            piece = data[at : at + PIECE]
            if len(set(piece)) > PIECE * 3 // 4:
                pieces.append(piece)
        self.needles |= {f"{name} {number}": piece for number, piece in enumerate(pieces)}
        for number in range(0, PIECES, 4):
            self._packed(f"{name} {number}", pieces[number])

    def _packed(self, name: str, data: bytes) -> None:
        """In hexadecimal digits, and in base64 whatever stands before it."""
        self.needles[f"{name} in hex"] = data.hex().encode()
        for lead in range(3):
            whole = base64.b64encode(bytes(lead) + data)
            # The characters that depend on neighbours are left out.
            certain = whole[4 if lead else 0 : (lead + len(data)) // 3 * 4]
            self.needles[f"{name} in base64, {lead}"] = certain

    def without(self, part: str) -> Canaries:
        """All but those in whose name this stands."""
        return Canaries({name: each for name, each in self.needles.items() if part not in name})

    def found(self, data: bytes) -> set[str]:
        """The names of what these bytes hold."""
        return {name for name, needle in self.needles.items() if needle in data}

    def in_file(self, path: Path) -> tuple[int, set[str]]:
        """How many bytes were read, and what was found."""
        longest = max(len(needle) for needle in self.needles.values())
        found: set[str] = set()
        read, tail = 0, b""
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                read += len(block)
                window = tail + block
                tail = window[-longest:]
                if block.count(0) < len(block):  # a log that is made in advance is all zeros
                    found |= self.found(window)
        return read, found

    def scan(self, folders: Iterable[Path]) -> tuple[int, list[str]]:
        """Every file below these folders: the bytes read, and each thing found with its place."""
        total, hits = 0, []
        for path in files(folders):
            try:
                read, found = self.in_file(path)
            except OSError:  # a running product also removes files
                continue
            total += read
            hits += [f"{name} in {path}" for name in sorted(found)]
        return total, hits


def files(folders: Iterable[Path]) -> Iterator[Path]:
    """Every plain file below these folders."""
    for folder in folders:
        for where, _, names in os.walk(folder):
            for path in (Path(where) / name for name in names):
                if path.is_file() and not path.is_symlink():
                    yield path
