"""Colours and font of the page, beside `assets/page.css`."""

from __future__ import annotations

import gradio as gr

FONT = ("system-ui", "sans-serif")


def theme() -> gr.themes.Base:
    """The theme; its quiet text is dark enough to be read (WCAG 2, contrast of 4.5)."""
    base = gr.themes.Base(primary_hue="orange", neutral_hue="slate", font=FONT)
    return base.set(body_text_color_subdued="*neutral_600", input_placeholder_color="*neutral_500")
