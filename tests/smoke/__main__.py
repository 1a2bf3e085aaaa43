"""Record in headless Chromium from a clip, wait for the report, replay; one line, and the transcript."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

from tests.support import fake_camera, product, room, story

LONGEST_SECONDS = 60.0


def main() -> int:
    """Exit code 0 when everything worked, else 1 with the reason."""
    parser = argparse.ArgumentParser(prog="make smoke", description=__doc__)
    parser.add_argument("--clip", type=Path, default=fake_camera.DEMO_CLIP, help="what is filmed and heard")
    parser.add_argument("--language", choices=("en", "zh"), help="what is spoken; default: that of the demo")
    parser.add_argument("--models", type=Path, default=product.MODELS, help="folder of model packs")
    parser.add_argument("--debian", action="store_true", help="on Debian's PostgreSQL 15")
    arguments = parser.parse_args()
    if not arguments.clip.is_file():
        print(f"smoke failed: there is no clip {arguments.clip}", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="fupan-smoke-") as folder:
            _run(arguments, Path(folder))
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the answer
        print(f"smoke failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _run(arguments: argparse.Namespace, folder: Path) -> None:
    camera = fake_camera.make(folder, arguments.clip)
    language = arguments.language or "en"
    seconds = min(camera.seconds, LONGEST_SECONDS)
    postgres = product.DEBIAN_POSTGRES if arguments.debian else None
    started = product.running(models=arguments.models, postgres=postgres, demo=True, language=language)
    with started as running, sync_playwright() as playwright:
        try:
            _tell(*_once_through(running, playwright, camera, seconds, folder))
        except Exception:
            print(running.logs(), file=sys.stderr)
            raise


def _once_through(
    running: product.Product,
    playwright: Playwright,
    camera: fake_camera.FakeCamera,
    seconds: float,
    folder: Path,
) -> tuple[story.Result, float, str]:
    """The report, milliseconds to the first frame, and what was said."""
    settings = running.settings
    with room.chromium(playwright, folder / "candidate", *camera.arguments, locale="en-GB") as browser:
        recorded = story.record(browser, running.invitation(), seconds)
    report = story.wait_for_report(settings, recorded.recording)
    if report.state != "sealed" or report.analysis not in ("done", "skipped"):
        raise RuntimeError(f"recording {report.state}, analysis {report.analysis} ({report.reason})")
    with room.chromium(playwright, folder / "staff", locale="en-GB") as browser:
        page = story.sign_in(browser, running.sign_in_link())
        first_frame = story.open_replay(page, settings, recorded.recording)
        story.plays(page)
        said = story.transcript(page) if report.analysis == "done" else f"(no transcript: {report.reason})"
    return report, first_frame, said


def _tell(report: story.Result, first_frame: float, said: str) -> None:
    print(
        f"smoke ok: recorded {report.duration_ms / 1000:.1f} s, sealed {report.bytes / 1e6:.2f} MB, "
        f"analysed in {report.analysed_seconds:.1f} s, first frame {first_frame:.0f} ms"
    )
    print(said)


if __name__ == "__main__":
    sys.exit(main())
