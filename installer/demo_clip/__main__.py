"""`python -m installer.demo_clip`: make the demo's clip and its manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from . import film, script, voice

FOLDER = Path(__file__).resolve().parents[2] / "webui" / "static" / "demo"
LICENCE = (
    "Apache-2.0, like the project that made it. Nobody was filmed or recorded: the picture is drawn by "
    "installer/demo_clip, the speech is synthetic. Speech: " + voice.CREDIT
)


def main() -> None:
    """Write interview.webm and interview.json."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    sound, answers = voice.speak()
    clip = FOLDER / "interview.webm"
    duration = film.write(clip, sound)
    manifest = {
        "clip": clip.name,
        "sha256": hashlib.sha256(clip.read_bytes()).hexdigest(),
        "mime": "video/webm;codecs=vp8,opus",
        "duration_ms": duration,
        "width": film.WIDTH,
        "height": film.HEIGHT,
        "language": script.LANGUAGE,
        "licence": LICENCE,
        "questions": [
            {
                "ordinal": ordinal,
                "text": line.question,
                "shown_ms": spoken.shown_ms,
                "answer_started_ms": spoken.started_ms,
                "answer_ended_ms": spoken.ended_ms,
                "said": " ".join(line.answer),
            }
            for ordinal, (line, spoken) in enumerate(zip(script.LINES, answers, strict=True), start=1)
        ],
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=2)
    (FOLDER / "interview.json").write_text(text + "\n", encoding="utf-8")
    print(f"{clip}: {clip.stat().st_size / 1e6:.2f} MB, {duration / 1000:.1f} s")


if __name__ == "__main__":
    main()
