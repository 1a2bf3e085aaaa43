"""Finds the strings for people in Python: gettext calls, and the messages of typed errors.

For Babel (see babel.cfg). An error's message is translated where it is shown, not where it stands:
`message = "…"` of a class named SomethingError, and the first argument of `SomethingError("…")` when it
is a sentence; machine-readable kinds ("timeout") are not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any, TypeGuard

from babel.messages.extract import extract_python

SENTENCE = re.compile(r"(?:[A-Z]|%\().* ", re.DOTALL)


def python(
    fileobj: IO[bytes], keywords: Mapping[str, Any], comment_tags: Collection[str], options: Any
) -> Iterator[tuple[int, str, Any, list[str]]]:
    """Babel's extraction interface: (line, function, message, comments)."""
    found: Iterator[Any] = extract_python(fileobj, keywords, comment_tags, options)
    yield from found
    fileobj.seek(0)
    for node in ast.walk(ast.parse(fileobj.read())):
        for value in _messages(node):
            text = value.value if isinstance(value, ast.Constant) else None
            if isinstance(text, str) and SENTENCE.match(text):
                yield value.lineno, "gettext", text, []


def _messages(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
        return [part.value for part in node.body if _assigns_message(part)]
    if isinstance(node, ast.Call) and _name(node.func).endswith("Error"):
        return node.args[:1]
    return []


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _assigns_message(node: ast.stmt) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and [_name(target) for target in node.targets] == ["message"]
