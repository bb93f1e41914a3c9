// Results of the phrases below the mask: a chip for each phrase, which of several people it means,
// the repainted share, which reader looked.

const READERS = {
  photograph: "People were found in it by models for photographs, which look for people and their parts.",
  drawing: "It is like the drawings that the built-in segmenter knows, which looks for all words.",
};

let chips = [];

const percent = share => share > 0 && share < 0.1 ? `${(100 * share).toFixed(1)}%` : `${Math.round(100 * share)}%`;

function makeChips() {
  const line = part(".mc-words"), held = line.contains(document.activeElement) && document.activeElement.dataset.key;
  chips = maskCanvas.sent.words.map((word, k) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.dataset.key = `${word.negative} ${word.noun || word.phrase}`;
    chip.onclick = () => {
      const again = maskCanvas.view === "heat" && maskCanvas.word === k;
      maskCanvas.word = again ? -1 : k;
      setView(again ? "overlay" : "heat");
    };
    return chip;
  });
  const share = document.createElement("span");
  share.className = "share";
  const parts = maskCanvas.sent.words.flatMap((word, k) => [chips[k], ...makeChoice(word)]);
  line.replaceChildren(...parts, share, ...makeReader(maskCanvas.sent.reader));
  // The buttons are new ones: the keyboard stays where it was.
  if (held) [...line.querySelectorAll("button")].find(button => button.dataset.key === held)?.focus();
  makeNumbers();
}

/**
 * Buttons beside a word's chip that choose one of several people, or all; nothing for other words,
 * nor for words that are taken out of all people.
 */
function makeChoice(word) {
  const { people } = maskCanvas.sent, isAll = word.phrase === word.noun;
  if (!word.noun || people.length < 2 || word.negative && isAll) return [];
  const group = document.createElement("span");
  group.className = "mc-people";
  group.role = "group";
  group.ariaLabel = `Which ${word.noun}`;
  for (const number of [...people.keys(), null].map(k => k === null ? null : k + 1)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = number ?? "all";
    button.dataset.key = `${word.negative} ${word.noun} ${number}`;
    button.title = button.ariaLabel = number ? `Only person ${number}, counted from the left` : "All people";
    button.ariaPressed = word.person === number && (number !== null || isAll);
    button.onclick = () => renameWord(word, number ? `${word.noun} ${number}` : word.noun);
    group.append(button);
  }
  return [group];
}

/** Put another phrase in the place of a word, in the field that it stands in. */
function renameWord({ phrase, negative }, name) {
  const field = control(negative ? "mask_negative" : "mask_prompt", "input, textarea");
  const between = negative ? "[,|\\s]" : "[,|\\n]";
  const text = phrase.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll(" ", "\\s+");
  const end = negative ? `(?=$|[:,|\\s])(?!\\s+\\d{1,2}(?![\\w.]))` : `(?=\\s*(?:$|[:,|\\n]))`;
  if (field) setField(field, field.value.replace(new RegExp(`(^|${between})(\\s*)${text}${end}`, "i"), `$1$2${name}`));
}

function setField(field, value) {
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** The numbers of several people over the picture. */
function makeNumbers() {
  const { people, words } = maskCanvas.sent, chosen = words.map(word => word.person);
  for (const old of picture.querySelectorAll(".mc-number")) old.remove();
  if (people.length < 2) return;
  people.forEach(([x, y], k) => {
    if (x < 0 || x > 1 || y < 0 || y > 1) return;
    const number = document.createElement("span");
    number.className = chosen.includes(k + 1) ? "mc-number chosen" : "mc-number";
    number.textContent = k + 1;
    number.ariaHidden = true; // the buttons below the picture say it
    Object.assign(number.style, { left: `${100 * x}%`, top: `max(11px, ${100 * y}%)` });
    picture.append(number);
  });
}

/** A quiet text that says which reader looked; nothing for others. */
function makeReader(reader) {
  if (!READERS[reader]) return [];
  const span = document.createElement("span");
  span.className = "reader";
  span.textContent = `read as a ${reader}`;
  span.title = READERS[reader];
  return [span];
}

function refreshWords() {
  const { sent, heats, settings } = maskCanvas;
  sent.words.forEach((word, k) => {
    const least = word.threshold ?? settings.threshold, found = word.score >= least, chip = chips[k];
    const share = heats[k].reaching[Math.ceil(least * 255)] / heats[k].values.length;
    chip.className = `chip ${found ? word.negative ? "minus" : "plus" : "absent"}`;
    chip.textContent = found ? `${word.negative ? "− " : ""}${word.phrase} ${word.score.toFixed(2)} · ${percent(share)}`
      : word.absence;
    chip.title = `Peak score, and share of the picture that reaches ${least}. Shows its heatmap.`;
    chip.setAttribute("aria-pressed", maskCanvas.view === "heat" && maskCanvas.word === k);
  });
}

function refreshShare() {
  const span = part(".mc-words .share");
  if (span) span.textContent = `${percent(maskCanvas.share)} repainted`;
}

const short = number => `${+number.toFixed(Math.abs(number) < 10 ? 1 : 0)}`;

/** Show beside each length what it is in this photo, and in the other unit, by the style sheet. */
function refreshLengths() {
  const { settings: { unit, feather, width }, sent: { rules } } = maskCanvas, pixels = maskCanvas.dilate;
  const share = length => `${+(100 * length / rules.shortSide).toFixed(1)}`;
  const twin = `${unit === "%" ? +pixels.toFixed(1) : share(pixels)} `;
  for (const label of document.querySelectorAll("#mask_dilate_unit label")) label.dataset.twin = twin;
  const grain = parseFloat(control("film_grain_size", "input, textarea")?.value);
  for (const [id, length] of Object.entries({ mask_dilate: pixels, mask_feather: feather, mask_matte_width: width, film_grain_size: grain })) {
    const name = document.querySelector(`#${id} [data-testid="block-info"]`);
    if (!name) continue;
    const also = id === "mask_dilate" ? "" : `, ${share(length)}%`;
    if (Number.isFinite(length)) name.dataset.here = `= ${short(maskCanvas.inPhoto(length))} px in this photo${also}`;
    else delete name.dataset.here;
  }
  const { photoSize } = maskCanvas.sent, size = 2 * radius() / rules.unit * Math.min(...photoSize);
  part(".mc-size").textContent = `${short(size)} px`;
}

maskCanvas.ondraw = () => {
  const { threshold } = maskCanvas.settings, { word, view } = maskCanvas;
  const key = [threshold, word, view, maskCanvas.turn].join();
  if (maskCanvas.chips !== key) { maskCanvas.chips = key; refreshWords(); }
  refreshShare();
  refreshLengths();
};
