"""HTML fragments of the page: status, messages, progress and results, all escaped."""

from __future__ import annotations

from html import escape

from inference.library.records import StoredJob
from inference.page.model_status import ModelStatus
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.studio.grid import GridResult
from inference.studio.health_report import PartReport, Report, without_paths


def status_html(status: ModelStatus) -> str:
    """Which models are loaded and where they run, or the progress of loading."""
    state = "loading" if status.loading else "ready"
    return f"<span class='{state}' role='status'>{escape(status.text)}</span>"


def message_html(text: str, role: str = "status") -> str:
    """One sentence for the user; role "alert" for errors."""
    return f"<p class='message {role}' role='{role}'>{escape(text)}</p>"


def health_html(report: Report) -> str:
    """The doctor's report as a table, with what is wrong first."""
    rows = [
        _row("bad" if check.problem else "good", check.title, check.found, (check.problem,))
        for check in report.checks
    ]
    for style in report.styles:
        rows += [_part_row(part) for part in style.parts]
    wrong = "".join(message_html(problem, "alert") for problem in report.problems)
    verdicts = "".join(message_html(line) for line in report.verdicts())
    return f"{wrong}{verdicts}<table class='health'>{''.join(rows)}</table>"


def _part_row(part: PartReport) -> str:
    found = part.inspection
    wrong = "bad" if part.is_needed else "off"
    revision = f" @ {found.revision[:8]}" if found.revision else ""
    about = ", ".join(filter(None, (part.state, found.form, found.licence)))
    state = wrong if found.problem else "good"
    return _row(state, part.title, f"{found.name}{revision}: {about}", part.remarks)


def _row(state: str, title: str, text: str, remarks: tuple[str, ...]) -> str:
    small = "".join(f"<br><small>{escape(without_paths(one))}</small>" for one in remarks if one)
    shown = escape(without_paths(text))
    return f"<tr class='{state}'><th>{escape(title)}</th><td>{shown}{small}</td></tr>"


def progress_html(progress: Progress) -> str:
    """Stage, step and time left of the running job."""
    done = f"value='{progress.step}' max='{progress.steps}'" if progress.steps else ""
    if progress.share is not None:
        done = f"value='{progress.share:.3f}'"
    return (
        f"<p class='message' role='status'>{escape(progress.text)}</p><progress {done}></progress>"
    )


def result_html(done: Result | GridResult) -> str:
    """Seed, time, number of changed kept pixels and notes of a finished job."""
    return _grid_html(done) if isinstance(done, GridResult) else _single_html(done)


def _single_html(result: Result) -> str:
    seconds = sum(result.seconds.values())
    proof = f"kept pixels changed: {result.kept_pixels_changed:,} of {result.kept_pixels:,}"
    edge = f"{result.edge_pixels:,} more along the edge are partly kept"
    return (
        f"<p class='message' role='status'><span class='chip plus' title='{edge}'>{proof}</span> "
        f"seed <b id='seed-used'>{result.recipe.seed}</b> · {seconds:.1f} s</p>"
        + "".join(map(message_html, result.notes))
    )


def _grid_html(done: GridResult) -> str:
    """As `_single_html` for all cells of a grid, with the failed cells named."""
    results = done.painted.values()
    changed = max(one.kept_pixels_changed for one in results)
    seconds = sum(sum(one.seconds.values()) for one in results)
    notes = dict.fromkeys([note for one in results for note in one.notes] + [*done.remarks])
    messages = "".join(map(message_html, notes)) + "".join(
        message_html(f"{label}: {sentence}", "alert") for label, sentence in done.failures.items()
    )
    return (
        f"<p class='message' role='status'><span class='chip plus'>kept pixels changed: {changed:,}"
        f"</span> {len(results)} pictures · seed <b id='seed-used'>{done.first.recipe.seed}</b> · "
        f"{seconds:.1f} s</p>{messages}"
    )


def stored_html(job: StoredJob, picture: int) -> str:
    """What a picture of the library is: prompt, style, seed, proof, time and notes."""
    report = job.report
    changed, kept = report.get("kept_pixels_changed"), report.get("kept_pixels")
    proof = f"kept pixels changed: {changed:,} of {kept:,}" if kept else "nothing was kept"
    seed = int(report.get("seed") or 0) + picture
    when = f"{job.created:%d %B %Y, %H:%M} UTC"
    about = " · ".join(filter(None, (job.style.capitalize(), f"seed {seed}", when)))
    return (
        f"<p class='message' role='status'><span class='chip plus'>{proof}</span> "
        f"{escape(about)}</p><p class='prompt'>{escape(job.prompt)}</p>"
        + "".join(map(message_html, job.notes))
    )
