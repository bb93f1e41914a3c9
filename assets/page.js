// Names for screen readers where Gradio gives none, and translations of the page's own HTML.
() => {
  const NAMED = {
    "#examples .gallery-item": (_, k) => `Example ${k + 1}`,
    "#forming .image-container > button": () => "Result",
    "#control-map .image-container > button": () => "Control map",
  };
  const EMPTY = {
    "#forming .empty": "Your picture appears here.",
    "#control-map .empty": "Drawn when painting starts.",
  };
  const LABELLED = [".empty", "button.upload-container", ".thumbnail-item"]
    .map((one) => `${one}[aria-label]`).join();
  const TEXTS = "#title p, #order p, .mc-views button, .mc-tools button, .mc-tools label";

  const translations = window.gradio_config?.i18n_translations ?? {};
  const [language] = navigator.language.split("-");
  const nearest = Object.keys(translations).find((one) => one.split("-")[0] === language);
  const known = translations[navigator.language] ?? translations[nearest] ?? {};

  function name() {
    for (const [selector, title] of Object.entries(NAMED)) {
      document.querySelectorAll(selector).forEach((one, k) => {
        if (!one.hasAttribute("aria-label")) one.setAttribute("aria-label", title(one, k));
      });
    }
    // A label is not allowed on an element without a role, and must not hide the visible text.
    for (const one of document.querySelectorAll(LABELLED)) {
      if (one.innerText.trim() || one.matches(".empty")) one.removeAttribute("aria-label");
    }
  }

  function translate() {
    for (const [selector, text] of Object.entries(EMPTY)) {
      for (const one of document.querySelectorAll(selector)) one.dataset.text = known[text] ?? text;
    }
    for (const one of document.querySelectorAll(TEXTS)) {
      const text = one.firstChild;
      const translated = known[text?.nodeValue?.trim()];
      if (translated && translated !== text.nodeValue.trim()) {
        text.nodeValue = text.nodeValue.replace(text.nodeValue.trim(), translated);
      }
    }
  }

  let waiting = false;
  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      name();
      translate();
    });
  }

  new MutationObserver(later).observe(document.body, { childList: true, subtree: true });
  later();
}
