"""Gradio event handlers of the history: search, choose, compare, star, delete, use again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from inference.errors import MasqueradeError
from inference.library.library import Library
from inference.library.records import Search, State, StoredJob
from inference.page.components import LIVE, PRIVATE, QUICK, Components, Update
from inference.page.history_panel import NOTHING_YET, HistoryPanel
from inference.page.html import message_html, stored_html
from inference.page.inputs import InputHandlers
from inference.page.jobs import results_components
from inference.page.stored_jobs import StoredJobs
from inference.picture.photo import Photo, Pixels
from inference.recipe.prompt_block import parse
from inference.serving.gradio_errors import shown_errors
from inference.serving.job_service import JobService
from inference.serving.result_files import pair_for_screen

# Jobs that are listed at once.
PAGE = 60
# Longest prompt under a thumbnail, in characters.
CAPTION = 48
GONE = "This picture is gone: it was deleted in the meantime."
NOT_KEPT = "This browser sends no cookie, so nothing of what it paints is kept."
# The browser keeps the number of the job on screen for as long as the tab is open.
KEEP = "job => { sessionStorage.setItem('masquerade-job', job); }"
RECALL = "() => sessionStorage.getItem('masquerade-job') || ''"
SURE = "Delete it for good?"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The pictures that are listed.

    Attributes:
        folder: where their files are.
        pictures: number of the job, and which of its pictures, for each.
        thumbnails: file and caption of each.
        before: the oldest listed job, if there are older ones.
        chosen: the last two chosen ones, as in `pictures`, the last one at the end.
        sure: whether the last chosen one is deleted when that is asked for again.
    """

    folder: Path
    pictures: tuple[tuple[int, int], ...] = ()
    thumbnails: tuple[tuple[Path, str], ...] = ()
    before: int | None = None
    chosen: tuple[tuple[int, int], ...] = ()
    sure: bool = False


class HistoryHandlers:
    """Handlers of the history.

    Args:
        panel: its components.
        page: the components of the page.
        service: has the temporary files, and tells whose a visitor's jobs are.
        library: where the jobs are kept.
        inputs: opens photos and fills in the form.
    """

    def __init__(
        self, panel: HistoryPanel, page: Components, service: JobService, library: Library,
        inputs: InputHandlers,
    ) -> None:  # fmt: skip
        self._panel, self._page, self._inputs = panel, page, inputs
        self._service, self._library = service, library
        self._jobs = StoredJobs(page, service, library, inputs)

    def connect(self, blocks: gr.Blocks) -> None:
        """Connect the events of the components."""
        panel, page = self._panel, self._page
        listed: list[Any] = [panel.panel, panel.pictures, panel.more, *panel.of_chosen()]
        asked: list[Any] = [panel.words, panel.starred, panel.listing]
        gr.on(
            [panel.open.click, panel.words.change, panel.starred.input], self.show, asked, listed,
            **LIVE,
        )  # fmt: skip
        panel.more.click(self.show_older, asked, listed, **QUICK)
        panel.close.click(lambda: gr.Column(visible=False), None, panel.panel, **QUICK)
        chosen: list[Any] = [panel.listing, panel.pair]
        panel.pictures.select(self.choose, chosen, panel.of_chosen(), **QUICK)
        panel.pair.input(self.compare, chosen, panel.of_chosen(), **QUICK)
        panel.star.click(self.star, asked, listed, **QUICK)
        panel.delete.click(self.delete, asked, listed, **QUICK)
        opened = [panel.panel, *self._inputs.filled_components()]
        view, results = self._inputs.view(), results_components(page)
        panel.use_settings.click(self.use_settings, panel.listing, opened, **QUICK).then(**view)
        panel.use_as_photo.click(self.use_as_photo, panel.listing, opened, **QUICK).then(**view)
        panel.reopen.click(
            self.reopen, panel.listing, [*opened, *results], **PRIVATE
        ).then(**view)  # fmt: skip
        page.shown_job.change(None, page.shown_job, None, js=KEEP)
        blocks.load(
            self._jobs.restore, page.shown_job, [*opened, *results], js=RECALL, **PRIVATE
        ).then(**view)

    # --- list --------------------------------------------------------------------------------

    def show(
        self, request: gr.Request, words: str, starred: bool, listing: Listing | None
    ) -> Update:
        """Open the panel with the newest pictures that a search finds."""
        folder = (
            self._service.files.folder(request.session_hash) if listing is None else listing.folder
        )
        with shown_errors():
            return self._listed(request, words, starred, Listing(folder=folder))

    def show_older(
        self, request: gr.Request, words: str, starred: bool, listing: Listing
    ) -> Update:
        """List older pictures behind those that are listed."""
        with shown_errors():
            return self._listed(request, words, starred, listing)

    def _listed(self, visitor: gr.Request, words: str, starred: bool, listing: Listing) -> Update:
        """The update that adds the next pictures to a listing."""
        panel, owner = self._panel, self._service.owners.of(visitor)
        shown: Update = {panel.panel: gr.Column(visible=True)}
        if owner is None:
            return {**shown, panel.about: message_html(NOT_KEPT)}
        wanted = Search(
            owner=owner, words=words, starred=starred, states=(State.DONE,), limit=PAGE + 1,
            before=listing.before,
        )  # fmt: skip
        jobs = self._library.search(wanted)
        for job in jobs[:PAGE]:
            listing = self._with(listing, job)
        listing = replace(listing, before=jobs[PAGE - 1].id if len(jobs) > PAGE else None)
        is_empty = not listing.pictures and not words and not starred
        return {
            **shown,
            panel.pictures: gr.update(
                value=[(str(file), caption) for file, caption in listing.thumbnails],
                selected_index=None,
            ),
            panel.more: gr.update(visible=listing.before is not None),
            **self._chosen(visitor, listing),
            **({panel.about: message_html(NOTHING_YET)} if is_empty else {}),
        }

    def _with(self, listing: Listing, job: StoredJob) -> Listing:
        """A listing with a job's pictures added."""
        star, added = "★ " if job.starred else "", []
        for k, name in enumerate(job.thumbnails):
            file = self._copied(name, listing.folder / f"{job.id}-{k}.jpg")
            added.append((file, star + (job.prompt[:CAPTION] or job.style)))
        return replace(
            listing,
            pictures=(*listing.pictures, *((job.id, k) for k in range(len(added)))),
            thumbnails=(*listing.thumbnails, *added),
        )

    # --- one picture -------------------------------------------------------------------------

    def choose(
        self, request: gr.Request, listing: Listing, pair: bool, event: gr.SelectData
    ) -> Update:
        """Show a picture beside its photo or beside the one chosen before."""
        picture = listing.pictures[event.index]
        others = [one for one in listing.chosen if one != picture]
        listing = replace(listing, chosen=(*others[-1:], picture), sure=False)
        with shown_errors():
            return self._chosen(request, listing, pair=pair)

    def compare(self, request: gr.Request, listing: Listing, pair: bool) -> Update:
        """Show the chosen picture beside the one chosen before, or beside its photo again."""
        with shown_errors():
            return self._chosen(request, listing, pair=pair)

    def star(self, request: gr.Request, words: str, starred: bool, listing: Listing) -> Update:
        """Give the chosen picture's job a star, or take it away."""
        kept = Listing(folder=listing.folder, chosen=listing.chosen[-1:])
        with shown_errors():
            if job := self._job(request, listing):
                self._library.star(job.owner, job.id, not job.starred)
            return self._listed(request, words, starred, kept)

    def delete(self, request: gr.Request, words: str, starred: bool, listing: Listing) -> Update:
        """Delete the chosen picture's job, if that is asked for twice."""
        with shown_errors():
            job = self._job(request, listing)
            if job is not None and not listing.sure:
                return self._chosen(request, replace(listing, sure=True))
            if job is not None:
                self._library.delete(job.owner, job.id)
            return self._listed(request, words, starred, Listing(folder=listing.folder))

    def _chosen(self, visitor: gr.Request, listing: Listing, *, pair: bool = False) -> Update:
        """The update that shows the last chosen picture, or none."""
        panel, job = self._panel, self._job(visitor, listing)
        can_pair = job is not None and len(listing.chosen) > 1
        update: Update = {
            panel.listing: listing,
            panel.pair: gr.update(visible=can_pair, value=pair and can_pair),
            **{one: gr.update(visible=job is not None) for one in (panel.uses, panel.keeps)},
        }
        if job is None:
            about = message_html(GONE) if listing.chosen else ""
            return {**update, panel.view: gr.update(visible=False), panel.about: about}
        k = listing.chosen[-1][1]
        file = self._copied(job.pictures[k], listing.folder / f"masquerade-{job.id}-{k}.png")
        other = self._job(visitor, listing, 0) if pair and can_pair else None
        left = "photo" if other is None else "{}-{}".format(*listing.chosen[0])
        shown = pair_for_screen(
            lambda: self._left_of(job, other, listing.chosen[0][1]),
            lambda: self._read(job.pictures[k]),
            listing.folder / f"{left}-{job.id}-{k}",
        )
        return {
            **update,
            panel.view: gr.update(value=shown, visible=True),
            panel.about: stored_html(job, k),
            panel.download: str(file),
            panel.star: "Take the star away" if job.starred else "Star",
            panel.delete: gr.update(
                value=SURE if listing.sure else "Delete",
                variant="stop" if listing.sure else "secondary",
            ),
        }

    # --- use again ---------------------------------------------------------------------------

    def use_settings(self, request: gr.Request, listing: Listing) -> Update:
        """Fill in the form from the chosen picture's recipe; the photo stays."""
        return self._used(
            request, listing, lambda job: self._inputs.filled(parse(job.recipe).recipe)
        )

    def use_as_photo(self, request: gr.Request, listing: Listing) -> Update:
        """Open the chosen picture as the photo; the settings stay."""
        k = listing.chosen[-1][1] if listing.chosen else 0
        return self._used(request, listing, lambda job: self._jobs.as_photo(job.pictures[k]))

    def reopen(self, request: gr.Request, listing: Listing) -> Update:
        """Show the chosen picture's job as it was: photo, mask, settings and results."""
        return self._used(request, listing, lambda job: self._jobs.whole(request, job))

    def _used(
        self, visitor: gr.Request, listing: Listing, use: Callable[[StoredJob], Update]
    ) -> Update:
        """The update of a use, which closes the panel; or a message why there is none."""
        closed: Update = {self._panel.panel: gr.Column(visible=False)}
        try:
            job = self._job(visitor, listing)
            used = {self._page.job: message_html(GONE, "alert")} if job is None else use(job)
        except MasqueradeError as error:
            used = {self._page.job: message_html(str(error), "alert")}
        return {**closed, **used}

    # --- the library -------------------------------------------------------------------------

    def _job(self, visitor: gr.Request, listing: Listing, at: int = -1) -> StoredJob | None:
        """The job of a chosen picture; None if none is chosen, or it is gone."""
        owner = self._service.owners.of(visitor)
        if owner is None or not listing.chosen:
            return None
        return self._library.get(owner, listing.chosen[at][0])

    def _copied(self, name: str, file: Path) -> Path:
        """A copy of a file of the library."""
        if not file.exists():
            file.write_bytes(self._library.read(name))
        return file

    def _left_of(self, job: StoredJob, other: StoredJob | None, k: int) -> Pixels:
        """What a job's picture is compared with: picture `k` of another job, or its photo."""
        return self._jobs.original(job) if other is None else self._read(other.pictures[k])

    def _read(self, name: str) -> Pixels:
        return Photo.open(self._library.read(name)).pixels
