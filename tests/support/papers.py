"""Files as people attach them."""

from __future__ import annotations

import io
import os
import zipfile

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<<>>\n%%EOF\n"


def docx(text: str = "résumé", padding: int = 0) -> bytes:
    """The parts of a Word document that any reader looks for; `padding` bytes that nothing compresses."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", f"<w:document>{text}</w:document>")
        archive.writestr("word/media/image1.png", os.urandom(padding))
    return made.getvalue()


def pdf(holding: bytes = b"", size: int = 0) -> bytes:
    """A file that begins as a PDF does, holds these bytes twice and has at least this size."""
    filling = os.urandom(max(0, size - len(PDF) - 2 * len(holding)))
    return PDF + holding + filling + holding
