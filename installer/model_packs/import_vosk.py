"""Make a model pack around a Vosk model that an operator brings: same layout, same manifest, same checks."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from analysis.model_pack import MANIFEST, ModelPack, ModelPackError, load_pack

from .build import activate, finish
from .fetch import Say

# What every Vosk model has; anything else of the folder is copied with it.
TELLTALE = ("am/final.mdl", "conf/mfcc.conf")


def import_vosk(out: Path, model: Path, language: str, licence: str, name: str, say: Say) -> Path:
    """Build and activate a pack with the Vosk model in folder `model`; the rest comes from the active pack.

    Raises ModelPackError when the folder is no Vosk model or there is no active pack to build on.
    """
    if any(not (model / part).is_file() for part in TELLTALE):
        raise ModelPackError(f"{model} is not a Vosk model: {' and '.join(TELLTALE)} must be in it")
    base = load_pack(out / "active")
    with tempfile.TemporaryDirectory(dir=out, prefix=".building-") as folder:
        pack = Path(folder) / "pack"
        pack.mkdir(mode=0o755)
        _copy_shared(base, pack)
        shutil.copytree(model, pack / "vosk")
        origins = {entry["path"]: (entry["licence"], entry["source"]) for entry in base.manifest["files"]}
        manifest = finish(
            pack,
            lambda path: origins.get(path, (licence, name)),
            {
                "created": base.manifest["created"],
                "engines": {**base.manifest["engines"], "speech": "vosk"},
                "languages": [language],
            },
        )
        target = out / manifest["version"]
        if target.exists():
            shutil.rmtree(target)
        pack.rename(target)
    activate(out, target.name)
    say(f"model pack {target.name} built around {name}")
    return target


def _copy_shared(base: ModelPack, pack: Path) -> None:
    for entry in base.manifest["files"]:
        relative = entry["path"]
        if relative == MANIFEST or relative.startswith(("whisper/", "vosk/")):
            continue
        (pack / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base.path(relative), pack / relative)
