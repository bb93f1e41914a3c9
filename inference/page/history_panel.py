"""The components of the history: a panel over the page with the pictures of the library."""

from __future__ import annotations

from typing import Any

import gradio as gr

NOTHING_YET = "What you paint is kept here. Nothing is yet."


class HistoryPanel:
    """The history's button and panel; app.py creates and places them.

    Attributes:
        listing: state, the `Listing` that is shown.
    """

    listing: gr.State
    open: gr.Button
    panel: gr.Column
    close: gr.Button
    words: gr.Textbox
    starred: gr.Checkbox
    pictures: gr.Gallery
    more: gr.Button
    pair: gr.Checkbox
    view: gr.ImageSlider
    about: gr.HTML
    reopen: gr.Button
    use_settings: gr.Button
    use_as_photo: gr.Button
    star: gr.Button
    delete: gr.Button
    download: gr.DownloadButton
    uses: gr.Row
    keeps: gr.Row

    def button(self, *, visible: bool) -> None:
        """Create the button that opens the panel."""
        self.open = gr.Button("History", size="sm", elem_id="open-history", visible=visible)

    def layout(self) -> None:
        """Create the panel, which is hidden at first."""
        self.listing = gr.State()
        with gr.Column(visible=False, elem_id="history-panel") as self.panel:
            with gr.Row(elem_id="history-bar", elem_classes="tight"):
                self.words = gr.Textbox(
                    "",
                    placeholder="Search in prompts and styles", container=False, scale=5,
                    elem_id="history-words", max_lines=1, label="Search",
                )  # fmt: skip
                self.starred = gr.Checkbox(
                    label="Only with a star", container=False, scale=1, elem_id="history-starred"
                )
                self.close = gr.Button(
                    "Close", size="sm", scale=0, min_width=80, elem_id="close-history"
                )
            with gr.Row(elem_id="history-body"):
                self._pictures()
                self._chosen()

    def _pictures(self) -> None:
        with gr.Column(scale=3, min_width=320):
            self.pictures = gr.Gallery(
                columns=5, allow_preview=False, show_label=False, interactive=False, buttons=[],
                label="Pictures, the newest first", elem_id="history-pictures",
                object_fit="cover", height="auto", fit_columns=False,
            )  # fmt: skip
            self.more = gr.Button("Older ones", size="sm", visible=False, elem_id="history-more")

    def _chosen(self) -> None:
        with gr.Column(scale=2, min_width=320, elem_id="history-chosen"):
            # The buttons stand above the picture: one that loads late would move them.
            with gr.Row(elem_classes="tight", visible=False, elem_id="history-use") as self.uses:
                self.reopen = _button("Open again", "history-reopen", variant="primary")
                self.use_settings = _button("Use settings", "history-settings")
                self.use_as_photo = _button("Use as photo", "history-photo")
            with gr.Row(elem_classes="tight", visible=False) as self.keeps:
                self.download = gr.DownloadButton(
                    "Download PNG", size="sm", min_width=90, elem_id="history-download"
                )
                self.star = _button("Star", "history-star")
                self.delete = _button("Delete", "history-delete")
            self.view = gr.ImageSlider(
                format="jpeg", interactive=False, max_height=470, visible=False,
                elem_id="history-view", label="Before / after", buttons=["fullscreen"],
            )  # fmt: skip
            self.about = gr.HTML(elem_id="history-about")
            self.pair = gr.Checkbox(
                label="Compare with the one chosen before", container=False, visible=False,
                elem_id="history-pair",
            )  # fmt: skip

    def of_chosen(self) -> list[Any]:
        """The components that show a chosen picture."""
        return [
            self.listing, self.view, self.about, self.pair, self.uses, self.keeps, self.download,
            self.star, self.delete,
        ]  # fmt: skip


def _button(title: str, name: str, **look: Any) -> gr.Button:
    return gr.Button(title, size="sm", min_width=90, elem_id=name, **look)
