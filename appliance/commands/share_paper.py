"""A printable page for each custodian: the share as text and as a QR code, in Chinese and English."""

from __future__ import annotations

import errno
import html
import io
import os
import stat
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.keyholder.vault_client import CeremonyView

PAGE = """<!doctype html>
<html lang="zh-Hans"><meta charset="utf-8"><title>{site} · {index}/{count}</title>
<style>
@page {{ size: A5; margin: 15mm }}
body {{ font: 11pt/1.5 serif; color: #000; background: #fff }}
code {{ font: 14pt/1.9 monospace; white-space: pre-wrap }}
svg {{ width: 45mm; height: 45mm }}
small {{ font: 8pt monospace; overflow-wrap: anywhere }}
</style>
<h1>{site}</h1>
<p>保险库份额 {index} / {count} · 第 {set} 套 · 任意 {needed} 份可以解锁<br>
<span lang="en">Vault share {index} of {count} · set {set} · any {needed} of them unlock</span></p>
<p><code>{text}</code></p>
{code}
<p>请单独妥善保管,不要拍照、不要录入任何其他设备。换发新的一套后请销毁本页。<br>
<span lang="en">Keep it to yourself: no photograph, no other device.
Destroy this page once a newer set is in force.</span></p>
<small>{vault}</small>
"""


class Paper:
    """Pages in a folder, one for each custodian. They are made before root gives its rights up, so that root
    may name any folder; only this user can read them. Empty ones, of a try that was refused, are taken again.
    Raises FileExistsError where one has been written."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._pages = [_empty_page(folder / f"fupan-share-{index}.html") for index in range(1, count + 1)]

    def write(self, index: int, text: str, begun: CeremonyView, site: str, vault_id: uuid.UUID) -> None:
        """The page of one custodian."""
        import segno

        code = io.BytesIO()
        segno.make_qr(text, error="m").save(code, kind="svg", xmldecl=False, svgns=True, nl=False)
        groups = text.split("-")
        page = PAGE.format(
            site=html.escape(site),
            index=index,
            count=begun.count,
            set=begun.set,
            needed=begun.needed,
            text=f"{groups[0]}-\n" + "\n".join("-".join(groups[at : at + 6]) for at in range(1, 25, 6)),
            code=code.getvalue().decode(),
            vault=vault_id,
        )
        with os.fdopen(self._pages[index - 1], "w", encoding="utf-8") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())


def _empty_page(path: Path) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    found = os.fstat(descriptor)
    ours = found.st_uid == os.geteuid() and found.st_nlink == 1 and stat.S_IMODE(found.st_mode) == 0o600
    if found.st_size or not stat.S_ISREG(found.st_mode) or not ours:
        os.close(descriptor)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    return descriptor
