"""Command-line interface: `python -m inference recipe.txt photos/ -o out/`.

`python -m inference doctor` says instead whether a style will work here,
`python -m inference token NAME` makes a token for the REST service, and
`python -m inference serve --ray` runs that service on a cluster.
Instead of the text file, a PNG written by Masquerade can be given: its embedded settings are used,
with a new mask for each photo. A recipe in a file named like one of these is given as `./doctor`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

from inference.catalog.catalog import Catalog
from inference.cluster.requirement import HERE, check_installed, keep_others_out
from inference.errors import InvalidRecipe, MasqueradeError, ModelUnavailable
from inference.library.address import place_of
from inference.library.records import LOCAL_OWNER
from inference.library.tokens import Tokens
from inference.picture import png_metadata
from inference.picture.photo import MAX_BYTES, Photo
from inference.picture.progress import Progress
from inference.recipe.prompt_block import parse
from inference.recipe.recipe import Recipe
from inference.serving.options import LIBRARY, default_library
from inference.studio.batch import Outcome, pictures, run
from inference.studio.outcome_lines import CLEAR_LINE, print_notes, print_outcome, printable
from inference.studio.studio import Studio

EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
DOCTOR, TOKEN, SERVE = "doctor", "token", "serve"
# The photo of the doctor's trial.
EXAMPLE = Path(__file__).parents[1] / "assets" / "examples" / "beach.png"


def main(arguments: Sequence[str], stdout: TextIO, stderr: TextIO) -> int:
    """Run the command.

    One line per photo is written to `stdout`; notes, and progress on a terminal, to `stderr`.

    Returns:
        Exit status: 0 success, 1 a photo or model failed, 2 usage error, 130 interrupted. For the
        doctor 0 only if all that the chosen or else the default style needs is fine.

    Raises:
        SystemExit: the arguments are invalid (status 2), or help was requested.
    """
    if arguments[:1] == [TOKEN]:
        return _token(_token_options(arguments[1:]), stdout, stderr)
    if arguments[:1] == [SERVE]:
        return _serve(arguments[1:], stdout, stderr)
    is_doctor = arguments[:1] == [DOCTOR]
    options = _doctor_options(arguments[1:]) if is_doctor else _options(arguments)
    try:
        if is_doctor:
            return _examine(options, stdout, stderr)
        return _work(options, stdout, stderr)
    except KeyboardInterrupt:
        return _exit(stderr, "Stopped: what was written is whole.", EXIT_INTERRUPTED)


def _work(options: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> int:
    try:
        recipe = _recipe(options.recipe, stderr)
        if options.ray is not None:
            return _work_on_cluster(options, recipe, stdout, stderr)
        if options.style:
            recipe = recipe.model_copy(update={"style": options.style})
        studio = Studio(catalog=Catalog.load(options.catalog))
        if recipe.style is not None:
            studio.style(recipe.style)
        photos = pictures(map(Path, options.photos))
    except MasqueradeError as error:
        return _exit(stderr, str(error), EXIT_USAGE)
    try:
        with closing(
            run(studio, recipe, photos, Path(options.out), overwrite=options.overwrite)
        ) as work:
            outcomes = [
                print_outcome(outcome, stdout) for outcome in _outcomes(work, photos, stderr)
            ]
    except ModelUnavailable as error:
        return _exit(stderr, str(error), EXIT_FAILURE)
    except MasqueradeError as error:
        return _exit(stderr, str(error), EXIT_USAGE)
    print_notes(outcomes, stderr)
    return EXIT_FAILURE if any(outcome.error for outcome in outcomes) else EXIT_OK


def _work_on_cluster(
    options: argparse.Namespace, recipe: Recipe, stdout: TextIO, stderr: TextIO
) -> int:
    """Paint on all nodes of a cluster; Ray is imported only here."""
    check_installed()
    keep_others_out(options.ray)
    from inference.cluster.folder_command import FolderOptions, paint_folder

    given = FolderOptions(
        photos=options.photos, out=options.out, style=options.style, catalog=options.catalog,
        overwrite=options.overwrite, address=options.ray, cpus=options.cpus_per_painter,
    )  # fmt: skip
    try:
        outcomes = paint_folder(given, recipe, stdout, stderr)
    except ModelUnavailable as error:
        return _exit(stderr, str(error), EXIT_FAILURE)
    return EXIT_FAILURE if any(outcome.error for outcome in outcomes) else EXIT_OK


def _serve(arguments: Sequence[str], stdout: TextIO, stderr: TextIO) -> int:
    """Serve on a cluster until the process is told to end."""
    try:
        check_installed()
        early = argparse.ArgumentParser(add_help=False)
        early.add_argument("--ray", nargs="?", const=HERE)
        keep_others_out(early.parse_known_args(arguments)[0].ray)
        from inference.cluster.launch import serve_on_cluster

        serve_on_cluster(arguments, stdout)
    except MasqueradeError as error:
        return _exit(stderr, str(error), EXIT_USAGE)
    return EXIT_OK


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m inference", description="Paint many photos by one prompt block."
    )
    parser.add_argument("recipe", type=Path, help="text file with a prompt block, or a PNG of ours")
    parser.add_argument(
        "photos", nargs="+", help="pictures, and folders whose pictures are painted"
    )
    parser.add_argument("-o", "--out", required=True, help="folder that the results are written to")
    parser.add_argument(
        "--style", help="instead of the recipe's; see inference/catalog/catalog.toml"
    )
    parser.add_argument("--catalog", type=Path, help="your own styles, laid over the built-in ones")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.add_argument(
        "--ray", nargs="?", const=HERE, metavar="ADDRESS",
        help="paint on the nodes of a Ray cluster, such as ray-head:6379, or with several painters "
        "on this machine; photos and results may then be s3:// and gs:// addresses",
    )  # fmt: skip
    parser.add_argument(
        "--cpus-per-painter", type=_at_least_one, default=2, metavar="N",
        help="processors of each painter of a cluster without GPUs; %(default)s by default",
    )  # fmt: skip
    return parser.parse_intermixed_args(arguments)


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("takes a whole number from 1")
    return value


def _doctor_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m inference {DOCTOR}",
        description="Say whether the styles will work here, and what to do if not.",
    )
    parser.add_argument("--style", help="only this style, instead of all")
    parser.add_argument("--catalog", type=Path, help="your own styles, laid over the built-in ones")
    parser.add_argument(
        "--load", action="store_true", help="load each style and paint two steps; downloads models"
    )
    parser.add_argument("--json", action="store_true", help="for a bug report; has no secrets")
    return parser.parse_args(arguments)


def _token_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m inference {TOKEN}",
        description="Make a token for the REST service; it is shown once and kept as a digest.",
    )
    parser.add_argument(
        "name", nargs="?", default=LOCAL_OWNER,
        help="whose prompts it makes and sees; «%(default)s» by default, whom a page of this "
        "machine alone belongs to",
    )  # fmt: skip
    parser.add_argument(
        "--library", default=os.environ.get(LIBRARY) or str(default_library()), metavar="DIR",
        help=f"that of the server; its own default, or {LIBRARY}",
    )  # fmt: skip
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--list", action="store_true", help="list the names of all tokens instead")
    action.add_argument("--remove", action="store_true", help="remove the tokens of this name")
    return parser.parse_args(arguments)


def _token(options: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> int:
    """Make, list or remove tokens."""
    try:
        with closing(Tokens(place_of(options.library))) as tokens:
            if options.list:
                stdout.write("".join(f"{name}\n" for name in tokens.names()))
            elif not options.remove:
                stdout.write(f"{tokens.make(options.name)}\n")
            elif not tokens.remove(options.name):
                return _exit(stderr, f"There is no token {options.name!r}.", EXIT_FAILURE)
    except MasqueradeError as error:
        return _exit(stderr, str(error), EXIT_USAGE)
    return EXIT_OK


def _examine(options: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> int:
    """Write the doctor's report to `stdout`."""
    from inference.studio.doctor import examine, try_style

    try:
        studio = Studio(catalog=Catalog.load(options.catalog))
        default = studio.style(options.style)
        styles = studio.catalog.styles() if options.style is None else (default,)
        trials = []
        if options.load:  # first, so that the report tells what is there afterwards
            photo, told = Photo.open(EXAMPLE), partial(_show_progress, stderr)
            trials = [try_style(studio, style, photo, told) for style in styles]
        decisive = default.key if options.style is None else ""
        report = examine(studio.catalog, studio.models().device, styles, decisive)
        report = replace(report, trials=tuple(trials))
    except MasqueradeError as error:
        return _exit(stderr, str(error), EXIT_USAGE)
    if stderr.isatty():
        stderr.write(CLEAR_LINE)
    stdout.write(f"{report.json() if options.json else report.text()}\n")
    return EXIT_FAILURE if report.problems else EXIT_OK


def _show_progress(stderr: TextIO, event: Progress) -> None:
    """Show the stage of a trial on a terminal."""
    if stderr.isatty():
        step = f", step {event.step} of {event.steps}" if event.steps else ""
        stderr.write(f"{CLEAR_LINE}{event.stage}{step} {printable(event.detail)}")
        stderr.flush()


def _recipe(path: Path, stderr: TextIO) -> Recipe:
    """Read a recipe from a text file or from the metadata of a PNG; report ignored fields."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        found = png_metadata.read(data) or parse(data.decode("utf-8-sig"))
    except (OSError, UnicodeError) as error:
        raise InvalidRecipe(
            f"{path} cannot be read: give a text file in UTF-8, or a picture that was made here."
        ) from error
    if found.unknown:
        stderr.write(f"Not known, left out: {', '.join(found.unknown)}\n")
    if found.recipe.mask_strokes:
        stderr.write("Left out: mask_strokes, which belong to one photo\n")
    return found.recipe


def _outcomes(
    events: Iterable[Progress | Outcome], photos: Sequence[Path], stderr: TextIO
) -> Iterator[Outcome]:
    """Yield the outcomes among the events; in between, show progress on a terminal."""
    live, done = stderr.isatty(), 0
    for event in events:
        if isinstance(event, Outcome):
            done += 1
            if live:
                stderr.write(CLEAR_LINE)
                stderr.flush()
            yield event
        elif live:
            place = f"{done + 1} of {len(photos)}, {printable(photos[done].name)}"
            stderr.write(f"{CLEAR_LINE}{place}: {printable(event.text)}")
            stderr.flush()


def _exit(stderr: TextIO, why: str, status: int) -> int:
    stderr.write(f"{CLEAR_LINE if stderr.isatty() else ''}{printable(why)}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout, sys.stderr))
