"""Lines of the command about the outcomes of photos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from inference.studio.batch import Outcome

CLEAR_LINE = "\r\x1b[K"


def printable(text: str) -> str:
    """Replace line breaks and control characters, which file names may contain, by "?"."""
    return "".join(one if one.isprintable() else "?" for one in text)


def print_outcome(outcome: Outcome, stdout: TextIO) -> Outcome:
    """Write the report line of an outcome, and return the outcome."""
    stdout.write(f"{printable(str(outcome.photo))}: {printable(_report(outcome))}\n")
    stdout.flush()
    return outcome


def print_notes(outcomes: Iterable[Outcome], stderr: TextIO) -> None:
    """Write the notes of all outcomes, once each: they are the same for most photos of a folder."""
    for note in dict.fromkeys(note for outcome in outcomes for note in outcome.notes):
        stderr.write(f"{printable(note)}\n")


def print_failures(outcomes: Sequence[Outcome], stderr: TextIO) -> None:
    """Write a table of the photos that failed, each with its reason; nothing if none did."""
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        width = max(len(printable(str(one.photo))) for one in failed)
        stderr.write(f"{len(failed)} of {len(outcomes)} photos failed:\n")
        for one in sorted(failed, key=lambda one: str(one.photo)):
            stderr.write(f"  {printable(str(one.photo)):{width}}  {printable(one.error)}\n")


def _report(outcome: Outcome) -> str:
    left = ", ".join(map(str, outcome.left))
    if outcome.error:
        return f"{outcome.seconds:.1f} s, {outcome.error}"
    if not outcome.files:
        return f"skipped, there is {left} already; --overwrite replaces it"
    files = ", ".join(map(str, outcome.files))
    counted = f"seed {outcome.seed}, kept pixels changed: {outcome.kept_pixels_changed}"
    return f"{outcome.seconds:.1f} s, {counted}, {files}" + (f"; left {left}" if left else "")
