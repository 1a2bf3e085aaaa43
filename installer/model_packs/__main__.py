"""`python -m installer.model_packs build|import-vosk|list|verify`: the model packs of one data folder.

Exit codes: 0 done, 1 a pack is damaged, 2 a folder cannot be written, 3 a source cannot be had (go on without
a pack).
"""

from __future__ import annotations

import argparse
import errno
import logging
import sys
from pathlib import Path

from analysis.model_pack import ModelPackError, load_pack

from .fetch import SourceUnavailableError, fetch
from .sources import VOSK_TEST_MODEL

EXIT_DAMAGED = 1
EXIT_FAILED = 2
EXIT_NO_SOURCE = 3


def say(line: str) -> None:
    """One line of progress, at once, also through a pipe."""
    print(line, flush=True)


def _build(arguments: argparse.Namespace) -> int:
    from .build import build  # onnx is needed here only, and slow to import

    logging.disable(logging.WARNING)  # the quantiser's advice is about larger models
    try:
        build(arguments.out, arguments.cache, say)
    except SourceUnavailableError as error:
        print(f"No model pack: {error}", file=sys.stderr)
        print("Fupan records and replays without one; analysis waits until it is built.", file=sys.stderr)
        return EXIT_NO_SOURCE
    except ModelPackError as error:
        print(f"No model pack: {error}", file=sys.stderr)
        return EXIT_DAMAGED
    except OSError as error:
        print(f"fupan: the model pack cannot be built: {_why(error, arguments)}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _why(error: OSError, arguments: argparse.Namespace) -> str:
    """A full disk or a folder of somebody else's, and what to do about it."""
    place = error.filename or f"{arguments.out} or {arguments.cache}"
    advice = "Choose another folder with DATA= or CACHE=, or start without models by MODELS=none"
    if error.errno == errno.ENOSPC:
        advice = f"About 1 GiB is needed. {advice}"
    return f"{error.strerror}: {place}. {advice}"


def _import_vosk(arguments: argparse.Namespace) -> int:
    from .import_vosk import import_vosk

    try:
        import_vosk(
            arguments.out, arguments.model, arguments.language, arguments.licence, arguments.model.name, say
        )
    except ModelPackError as error:
        print(f"No model pack: {error}", file=sys.stderr)
        return EXIT_DAMAGED
    return 0


def _fetch_test_model(arguments: argparse.Namespace) -> int:
    try:
        fetch(VOSK_TEST_MODEL, arguments.cache, say)
    except SourceUnavailableError as error:
        print(f"No test model: {error}", file=sys.stderr)
        return EXIT_NO_SOURCE
    return 0


def _packs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _list(arguments: argparse.Namespace) -> int:
    active = (arguments.out / "active").resolve()
    for folder in _packs(arguments.out):
        if folder.name.startswith("."):
            continue
        try:
            pack = load_pack(folder, verify=False)
        except ModelPackError as error:
            say(f"{folder.name}  unreadable: {error}")
            continue
        mark = "active" if folder.resolve() == active else ""
        megabytes = sum(entry["bytes"] for entry in pack.manifest["files"]) / 1e6
        say(f"{pack.version}  {megabytes:.0f} MB  {','.join(pack.languages)}  {mark}".rstrip())
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    try:
        pack = load_pack(arguments.pack)
    except ModelPackError as error:
        print(f"{arguments.pack}: {error}", file=sys.stderr)
        return EXIT_DAMAGED
    say(f"{pack.version}: {len(pack.manifest['files'])} files, every hash is right")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    parser = argparse.ArgumentParser(prog="installer.model_packs", description=__doc__)
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="fetch the sources and build the default pack")
    build.add_argument("--out", type=Path, required=True, help="folder of packs")
    build.add_argument("--cache", type=Path, required=True, help="folder of fetched sources")
    build.set_defaults(run=_build)
    vosk = commands.add_parser("import-vosk", help="make a pack around a Vosk model of your own")
    vosk.add_argument("--out", type=Path, required=True, help="folder of packs, with an active one")
    vosk.add_argument("--model", type=Path, required=True, help="folder of the unpacked Vosk model")
    vosk.add_argument("--language", required=True, help="language of the model, for example zh")
    vosk.add_argument("--licence", required=True, help="licence of the model as its maker states it")
    vosk.set_defaults(run=_import_vosk)
    test_model = commands.add_parser("fetch-test-model", help="fetch what only tests use")
    test_model.add_argument("--cache", type=Path, required=True, help="folder of fetched sources")
    test_model.set_defaults(run=_fetch_test_model)
    listing = commands.add_parser("list", help="show the packs of a folder")
    listing.add_argument("--out", type=Path, required=True, help="folder of packs")
    listing.set_defaults(run=_list)
    verify = commands.add_parser("verify", help="check every hash of one pack")
    verify.add_argument("pack", type=Path, help="folder of one pack")
    verify.set_defaults(run=_verify)
    arguments = parser.parse_args(argv)
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
