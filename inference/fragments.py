"""What the studio has to say, as small HTML fragments for pages and notebooks."""

from __future__ import annotations

from html import escape

from inference.grid import GridResult
from inference.results import Progress, Result
from inference.warmth import Warmth


def status_html(warmth: Warmth) -> str:
    """Which models are loaded and where they run, or how far loading is."""
    state = "ready" if warmth.ready else "loading"
    return f"<span class='{state}' role='status'>{escape(warmth.text)}</span>"


def message_html(text: str, role: str = "status") -> str:
    """One sentence for the user; role "alert" for what went wrong."""
    return f"<p class='message {role}' role='{role}'>{escape(text)}</p>"


def job_html(progress: Progress) -> str:
    """Stage, step and time left of the running job."""
    done = f"value='{progress.step}' max='{progress.steps}'" if progress.steps else ""
    parts = [str(progress.stage), progress.detail]
    if progress.steps:
        parts.append(f"step {progress.step} of {progress.steps}")
    if progress.seconds_left is not None:
        parts.append(f"{progress.seconds_left:.0f} s left")
    text = " · ".join(part for part in parts if part)
    return f"<p class='message' role='status'>{escape(text)}</p><progress {done}></progress>"


def done_html(done: Result | GridResult) -> str:
    """What became of a job."""
    return _grid_html(done) if isinstance(done, GridResult) else _result_html(done)


def _result_html(result: Result) -> str:
    """The seed, the time, the proof that the kept pixels were kept, and what else to know."""
    seconds = sum(result.seconds.values())
    proof = f"kept pixels changed: {result.kept_pixels_changed:,} of {result.kept_pixels:,}"
    return (
        f"<p class='message' role='status'><span class='chip plus'>{proof}</span> "
        f"seed <b id='seed-used'>{result.recipe.seed}</b> · {seconds:.1f} s</p>"
        + "".join(map(message_html, result.notes))
    )


def _grid_html(done: GridResult) -> str:
    """As `_result_html`, of a whole grid; what failed is named."""
    results = done.painted.values()
    changed = max(one.kept_pixels_changed for one in results)
    seconds = sum(sum(one.seconds.values()) for one in results)
    notes = dict.fromkeys(note for one in results for note in one.notes)
    told = "".join(map(message_html, notes)) + "".join(
        message_html(f"{label}: {sentence}", "alert") for label, sentence in done.failures.items()
    )
    return (
        f"<p class='message' role='status'><span class='chip plus'>kept pixels changed: {changed:,}"
        f"</span> {len(results)} pictures · seed <b id='seed-used'>{done.first.recipe.seed}</b> · "
        f"{seconds:.1f} s</p>{told}"
    )
