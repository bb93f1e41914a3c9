"""The page's languages: its English texts are the keys, and the browser shows the translations.

Translated are labels, help texts, placeholders and buttons of components. Menus, prompts and the
server's sentences stay English.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

#: Attributes of Gradio's components that hold a text.
ATTRIBUTES = ("label", "info", "placeholder")


@dataclass(frozen=True, kw_only=True)
class Languages:
    """Translations of the page.

    Attributes:
        by_language: by BCP 47 tag such as "de", the translations by English text.
    """

    by_language: dict[str, dict[str, str]]

    @classmethod
    def load(cls, folder: Path) -> Languages:
        """The languages in a folder, one JSON file each."""
        files = sorted(folder.glob("*.json"))
        read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
        return cls(by_language=read)

    @property
    def texts(self) -> frozenset[str]:
        """The English texts that are translated."""
        return frozenset().union(*self.by_language.values())

    def i18n(self) -> gr.I18n:
        """What the page's server gives the browser; English texts stand for themselves."""
        english = {text: text for text in self.texts}
        return gr.I18n(en=english, **self.by_language)

    def apply(self, blocks: gr.Blocks) -> None:
        """Have the browser translate the texts of all components."""
        i18n, known = self.i18n(), self.texts
        for component, name, text in texts_of(blocks):
            if text in known:
                setattr(component, name, i18n(text))


def texts_of(blocks: gr.Blocks) -> Iterator[tuple[Any, str, str]]:
    """All components of a page with the names and values of attributes that hold a text."""
    for component in blocks.blocks.values():
        names = (*ATTRIBUTES, "value") if isinstance(component, gr.Button) else ATTRIBUTES
        for name in names:
            text = getattr(component, name, None)
            if isinstance(text, str) and text:
                yield component, name, text
