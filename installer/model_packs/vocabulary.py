"""Whisper's vocabulary as one JSON file that the decoder needs, and nothing else of a tokenizer."""

from __future__ import annotations

from typing import Any

# What the model is told it has just written, so that it answers in Simplified characters with
# punctuation. The token ids are fixed here (made once with the original tokenizer) because nothing in
# the product needs to encode text; building the pack checks that they decode to this text.
PROMPTS = {
    "zh": (
        "以下是普通话的句子，这是一段面试回答。",
        [
            *(3588, 4438, 1541, 29993, 19550, 21596, 1546, 34592, 7626, 171, 120, 234),
            *(27455, 2257, 28427, 8833, 5233, 243, 8350, 28223, 1543),
        ],
    )
}
TIMESTAMPS = 1501  # <|0.00|> … <|30.00|> in steps of 0.02 s, after the last named token


class VocabularyError(Exception):
    """The tokenizer file is not the one that the recipe was written for."""


def byte_letters() -> dict[str, int]:
    """The reversible letter for each byte that byte-level BPE vocabularies are written in."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(rest)}


def vocabulary(tokenizer: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Reduce `tokenizer.json` and CTranslate2's `config.json` to what decoding needs.

    `tokens` are in byte letters, by id. Raises VocabularyError when the prompts do not decode.
    """
    special = {entry["content"]: int(entry["id"]) for entry in tokenizer["added_tokens"]}
    first_special = min(special.values())
    tokens = [""] * first_special
    for text, number in tokenizer["model"]["vocab"].items():
        if number < first_special:
            tokens[number] = text
    letters = byte_letters()
    for text, ids in PROMPTS.values():
        spelled = bytes(letters[letter] for number in ids for letter in tokens[number])
        if spelled != text.encode():
            raise VocabularyError("the fixed prompt does not decode with this vocabulary")
    languages = {text[2:-2]: number for text, number in special.items() if number in set(config["lang_ids"])}
    first_timestamp = max(special.values()) + 1
    return {
        "tokens": tokens,
        "special": {text[2:-2]: number for text, number in special.items()},
        "languages": languages,
        "first_timestamp": first_timestamp,
        "timestamps": TIMESTAMPS,
        "suppress": sorted(config["suppress_ids"]),
        "suppress_at_start": sorted(config["suppress_ids_begin"]),
        "prompts": {language: ids for language, (_text, ids) in PROMPTS.items()},
        "alignment_heads": config["alignment_heads"],
    }
