"""Browser tests of languages, contrast, names for screen readers, links and installing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from app import ASSETS
from app import Page as AppPage
from inference import Recipe, Studio
from inference.page.languages import Languages, texts_of
from inference.page.model_status import ModelStatus
from inference.page.shared_link import recipe_in, text_of
from inference.serving.backend import backend
from inference.serving.options import Options
from tests.support.browser import PATIENCE, generate, load, open_fold, pick_example, without_errors

LANGUAGES = ("de", "es", "fr", "ja", "zh-CN")
#: Texts that are the same in every language, and those of the page's own HTML.
UNTRANSLATED = {"cfg_scale=2, 5, 8", "1st", "2nd", "3rd"}
OF_HTML = {
    "Puts a person, untouched, into any scene.", "Your picture appears here.",
    "Drawn when painting starts.", "Overlay", "Cut-out", "Heatmap", "Area", "Keep", "Repaint",
    "Size", "Undo", "Reset",
    "words → minus «but not» → threshold, without specks → brush → invert → dilate → edges",
}  # fmt: skip
RULES = {"rules": {"label-content-name-mismatch": {"enabled": True}}}
GRAVE = ("serious", "critical")


# --- languages ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """All texts of the page's components before they are translated."""
    folder, studio = tmp_path_factory.mktemp("page"), Studio()
    with backend(studio, Options(library=folder / "library"), folder) as behind:
        page = AppPage(studio, ModelStatus(studio), behind.jobs)
        page.languages = Languages(by_language={})
        return {text for _, _, text in texts_of(page.build())} - UNTRANSLATED


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_text_of_the_page_and_no_other(
    english: set[str], language: str
) -> None:
    path = ASSETS / "languages" / f"{language}.json"
    translated = json.loads(path.read_text(encoding="utf-8"))
    assert set(translated) == english | OF_HTML
    assert all(text.strip() == text and text for text in translated.values())


def test_there_are_no_other_languages() -> None:
    assert tuple(Languages.load(ASSETS / "languages").by_language) == LANGUAGES


@pytest.mark.browser
@pytest.mark.parametrize(
    ("locale", "generate_text", "keep", "empty"),
    [
        ("en-GB", "Generate", "Keep", "Your picture appears here."),
        ("de-AT", "Erzeugen", "Behalten", "Hier erscheint dein Bild."),
        ("fr", "Générer", "Garder", "Votre image apparaît ici."),
        ("zh-CN", "生成", "保留", "你的图片会出现在这里。"),
        ("sw", "Generate", "Keep", "Your picture appears here."),
    ],
)
def test_the_page_speaks_the_browser_s_language(
    browser: Browser, address: str, locale: str, generate_text: str, keep: str, empty: str
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale=locale)
    page = context.new_page()
    with without_errors(page):
        load(page, address)
        expect(page.locator("#generate")).to_have_text(generate_text)
        expect(page.locator("#forming .empty")).to_have_attribute("data-text", empty)
        pick_example(page)
        expect(page.locator("#mask [data-tool=keep]")).to_have_text(keep)
    context.close()


# --- for all who read and click otherwise ---------------------------------------------------------


def faults(page: Page) -> list[str]:
    """What axe-core finds that is serious, by rule with the elements."""
    found: dict[str, Any] = Axe().run(page, options=RULES).response
    return [
        f"{fault['id']}: {node['html'][:120]}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


@pytest.fixture(params=["light", "dark"])
def dressed(request: pytest.FixtureRequest, tab: Page, address: str) -> Page:
    tab.goto("about:blank")
    load(tab, f"{address}/?__theme={request.param}")
    return tab


@pytest.mark.browser
def test_nothing_is_hard_to_read_or_without_a_name(dressed: Page) -> None:
    assert faults(dressed) == []
    pick_example(dressed)
    expect(dressed.locator("#mask .chip").first).to_be_visible()
    for fold in ("Mask", "Sampling", "Control", "Finishing", "Wider scene", "Prompt block"):
        open_fold(dressed, fold)
    assert faults(dressed) == []
    expect(generate(dressed)).to_contain_text("kept pixels changed", timeout=PATIENCE)
    expect(dressed.locator("#cancel")).to_be_disabled()
    dressed.wait_for_timeout(1_000)  # colours of buttons fade
    assert faults(dressed) == []
    dressed.get_by_role("button", name="History").click()
    expect(dressed.locator("#history-pictures img").first).to_be_visible()
    assert faults(dressed) == []


# --- links ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, ""),
        ({"prompt": "a & b", "steps": 7}, "prompt=a & b\nsteps=7"),
        ({"mask_strokes": "+200:5000,4000", "input_image_url": "https://example.org/a.png"}, ""),
        ({"prompt": "--mask_invert", "seed": 3}, 'prompt="--mask_invert"\nseed=3'),
    ],
)
def test_a_link_has_what_is_not_usual_and_nothing_of_the_photo(
    fields: dict[str, object], text: str
) -> None:
    assert text_of(Recipe.parse(fields)) == text


def test_a_link_brings_no_addresses_and_no_strokes() -> None:
    text = "steps=7\ninput_image_url=http://127.0.0.1/a.png\nmask_strokes=+200:5000,4000"
    assert recipe_in(text) == Recipe(steps=7)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("text", "prompt", "sentence"),
    [
        ("prompt=a & b\nsteps=7", "a & b", "The link's settings are taken."),
        ("prompt=a & b\nsteps=999", "", "takes a whole number from 1 to 50"),
        ("steps=7\nand so on", "", "is no field"),
    ],
)
def test_a_page_opens_with_a_link_s_settings(
    page: Page, address: str, text: str, prompt: str, sentence: str
) -> None:
    load(page, f"{address}/?recipe={quote(text)}")
    expect(page.locator("#job")).to_contain_text(sentence)
    expect(page.locator("#prompt textarea")).to_have_value(prompt)


@pytest.mark.browser
def test_a_written_link_opens_the_same_settings(page: Page, address: str) -> None:
    page.locator("#prompt textarea").fill("a garden, 50% fog & rain")
    open_fold(page, "Prompt block")
    page.locator("#write-link").click()
    link = page.locator("#link textarea")
    expect(link).to_have_value(re.compile(rf"^{re.escape(address)}/\?recipe=.*fog"))
    load(page, link.input_value())
    expect(page.locator("#prompt textarea")).to_have_value("a garden, 50% fog & rain")


# --- installing -----------------------------------------------------------------------------------


def test_the_page_can_be_installed_and_its_icon_is_served_in_one_size(address: str) -> None:
    manifest = httpx.get(f"{address}/manifest.json").json()
    assert (manifest["name"], manifest["display"]) == ("Masquerade", "standalone")
    icon = httpx.get(f"{address}{manifest['icons'][0]['src']}")
    assert icon.headers["content-type"].startswith("image/svg+xml")
    assert icon.content == (Path(ASSETS) / "icon.svg").read_bytes()
    assert httpx.get(f"{address}/pwa_icon/9000").status_code == 404
