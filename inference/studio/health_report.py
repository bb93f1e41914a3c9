"""The doctor's report: checks of the machine, of styles and their models, as text and as JSON.

Neither has secrets or the user's paths: a path in the home folder begins with `~`, and of any other
only the last name is left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from inference.catalog.inspection import Inspection

_GB = 1e9
# An absolute path, of Linux, macOS or Windows, that is not a part of an address.
_PATH = re.compile(r"(?<![\w~:/\\.])(?:[A-Za-z]:\\|/)(?:[^\s/\\:;,'\"]+[/\\])+([^\s/\\:;,'\"]*)")
_TITLE_WIDTH = 38
_FINE, _OPTIONAL, _WRONG = "ok", "--", "!!"


@dataclass(frozen=True, kw_only=True)
class Check:
    """A line about the machine: what was looked at, what was found, and what is wrong with it."""

    title: str
    found: str
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class PartReport:
    """A model of a style: what it is for, whether the style needs it, and what there is of it."""

    title: str
    is_needed: bool
    inspection: Inspection

    @property
    def state(self) -> str:
        """Whether it is there, in two or three words."""
        if self.inspection.problem:
            return "not available"
        missing = self.inspection.bytes_missing
        whole = sum(file.bytes for file in self.inspection.files)
        if not missing:
            return f"there, {size_text(whole)}"
        done = f"{size_text(whole - missing)} there, " if missing < whole else ""
        return f"{done}{size_text(missing)} to download"

    @property
    def remarks(self) -> tuple[str, ...]:
        """The problem and the notes, a sentence each."""
        return tuple(filter(None, (self.inspection.problem, *self.inspection.notes)))


@dataclass(frozen=True, kw_only=True)
class StyleReport:
    """A style and its models."""

    key: str
    title: str
    parts: tuple[PartReport, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps the style from working, without repetitions."""
        needed = [part.inspection.problem for part in self.parts if part.is_needed]
        return tuple(dict.fromkeys(filter(None, needed)))

    @property
    def bytes_missing(self) -> int:
        """Bytes that its needed models would add to the cache."""
        needed = {part.inspection for part in self.parts if part.is_needed}
        return sum(inspection.bytes_missing for inspection in needed)


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """A stage of a trial: seconds, and peaks of memory in bytes."""

    title: str
    seconds: float
    peak: int
    gpu_peak: int


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Two steps painted with a style: its stages, and the error if one failed."""

    key: str
    title: str
    stages: tuple[StageCost, ...]
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The doctor's report.

    Attributes:
        checks: the machine.
        styles: the styles that were looked at.
        default: key of the style that decides whether all is well; "" for all of them.
        trials: styles that were tried.
    """

    checks: tuple[Check, ...]
    styles: tuple[StyleReport, ...] = ()
    default: str = ""
    trials: tuple[Trial, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps the default style from working, a sentence each."""
        of_machine = (check.problem for check in self.checks)
        of_styles = (
            problem
            for style in self.styles
            if self.default in ("", style.key)
            for problem in style.problems
        )
        of_trials = (one.problem for one in self.trials if self.default in ("", one.key))
        found = filter(None, (*of_machine, *of_styles, *of_trials))
        return tuple(dict.fromkeys(map(without_paths, found)))

    def text(self) -> str:
        """The report as a table for a terminal."""
        return without_paths("\n".join(self._lines()))

    def json(self) -> str:
        """The report for a bug report."""
        whole = {"problems": self.problems, **asdict(self)}
        return without_paths(json.dumps(whole, indent=1, ensure_ascii=False))

    def verdicts(self) -> tuple[str, ...]:
        """For each style one line: whether it will work, or how many needed models are missing."""
        lines = []
        for style in self.styles:
            bad = sum(bool(part.inspection.problem) for part in style.parts if part.is_needed)
            verdict = "will work here"
            if bad:
                verdict = f"will not work: {bad} of its models are not available"
            elif style.bytes_missing:
                verdict = f"will work here, after {size_text(style.bytes_missing)} of downloads"
            default = " (the default)" if style.key == self.default else ""
            lines.append(f"{style.title}{default} {verdict}.")
        return tuple(lines)

    def _lines(self) -> Iterator[str]:
        for check in self.checks:
            yield _line(_WRONG if check.problem else _FINE, check.title, check.found)
            if check.problem:
                yield _line("", "", check.problem)
        shown: set[tuple[str, Inspection]] = set()
        for style in self.styles:
            yield f"\n{style.title} ({style.key})"
            fresh = [part for part in style.parts if (part.title, part.inspection) not in shown]
            for part in fresh:
                yield from _part_lines(part, with_files=len(self.styles) == 1)
            if len(fresh) < len(style.parts):
                yield _line("", "others", f"{len(style.parts) - len(fresh)}, as above")
            shown |= {(part.title, part.inspection) for part in fresh}
        for trial in self.trials:
            yield f"\n{trial.title}, two steps"
            for one in trial.stages:
                card = f", {size_text(one.gpu_peak)} on the GPU" if one.gpu_peak else ""
                yield _line("", one.title, f"{one.seconds:.1f} s, peak {size_text(one.peak)}{card}")
            if trial.problem:
                yield _line(_WRONG, "", trial.problem)
        yield ""
        yield from self.verdicts()
        yield from self.problems


def _part_lines(part: PartReport, *, with_files: bool) -> Iterator[str]:
    found = part.inspection
    bad = _WRONG if part.is_needed else _OPTIONAL
    revision = f" @ {found.revision[:12]}" if found.revision else ""
    about = ", ".join(filter(None, (part.state, found.form, found.licence)))
    mark = bad if found.problem else _FINE
    yield _line(mark, part.title, f"{found.name}{revision}: {about}")
    for remark in part.remarks:
        yield _line("", "", remark)
    for file in found.files if with_files else ():
        where = "there" if file.is_cached else "to download"
        yield _line("", "", f"{file.name}, {size_text(file.bytes)}, {where}")


def _line(mark: str, title: str, text: str) -> str:
    return f"{mark:<4}{title:<{_TITLE_WIDTH}}{text}"


def without_paths(text: str) -> str:
    """A text in which no path tells more of the user than `~`."""
    home = str(Path.home())
    if len(home) > 1:
        text = text.replace(home.replace("\\", "\\\\"), "~").replace(home, "~")
    return _PATH.sub(r"…/\1", text)


def share_text(free: int, total: int) -> str:
    """How much is free, in words."""
    return f"{size_text(free)} free of {size_text(total)}"


def size_text(count: float) -> str:
    """A number of bytes in words."""
    if count >= _GB:
        return f"{count / _GB:.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
