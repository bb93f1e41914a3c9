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


def result_html(result: Result) -> str:
    """The seed, the time, the proof that the kept pixels were kept, and what was not read."""
    seconds = sum(result.seconds.values())
    proof = f"kept pixels changed: {result.kept_pixels_changed:,} of {result.kept_pixels:,}"
    return (
        f"<p class='message' role='status'><span class='chip plus'>{proof}</span> "
        f"seed <b id='seed-used'>{result.recipe.seed}</b> · {seconds:.1f} s</p>"
        + (message_html(f"Too long, so not read: «{_short(result.unread)}».") * bool(result.unread))
    )


def _short(text: str) -> str:
    """A text cut where it would fill the page."""
    return text if len(text) <= 200 else f"{text[:200]}…"


def grid_html(done: GridResult) -> str:
    """As `result_html`, of a whole grid; what failed is named."""
    results = done.painted.values()
    changed = max(one.kept_pixels_changed for one in results)
    seconds = sum(sum(one.seconds.values()) for one in results)
    failed = "".join(
        message_html(f"{label}: {sentence}", "alert") for label, sentence in done.failures.items()
    )
    return (
        f"<p class='message' role='status'><span class='chip plus'>kept pixels changed: {changed:,}"
        f"</span> {len(results)} pictures · seed <b id='seed-used'>{done.first.recipe.seed}</b> · "
        f"{seconds:.1f} s</p>{failed}"
    )
