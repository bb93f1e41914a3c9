// Results of the phrases below the mask: a chip for each phrase, the repainted share, which reader
// looked, warnings.

const READERS = {
  photograph: "People were found in it by models for photographs, which look for people and their parts.",
  drawing: "It is like the drawings that the built-in segmenter knows, which looks for all words.",
};

const percent = share => share > 0 && share < 0.1 ? `${(100 * share).toFixed(1)}%` : `${Math.round(100 * share)}%`;

function makeChips() {
  const chips = maskCanvas.sent.words.map((word, k) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.onclick = () => {
      const again = maskCanvas.view === "heat" && maskCanvas.word === k;
      maskCanvas.word = again ? -1 : k;
      setView(again ? "overlay" : "heat");
    };
    return chip;
  });
  const share = document.createElement("span");
  share.className = "share";
  part(".mc-words").replaceChildren(...chips, share, ...makeReader(maskCanvas.sent.reader));
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
  const { sent, heats, settings } = maskCanvas, chips = element.querySelectorAll(".mc-words button");
  sent.words.forEach((word, k) => {
    const least = word.threshold ?? settings.threshold, found = word.score >= least, chip = chips[k];
    const share = heats[k].reaching[Math.ceil(least * 255)] / heats[k].values.length;
    chip.className = `chip ${found ? word.negative ? "minus" : "plus" : "absent"}`;
    chip.textContent = found ? `${word.negative ? "− " : ""}${word.phrase} ${word.score.toFixed(2)} · ${percent(share)}`
      : `no ${word.phrase} found (${word.score.toFixed(2)})`;
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

/** Update the warning, and the mask's description for screen readers. */
function refreshNote() {
  const { sent: { words, drawn, rules }, settings, share, strokes } = maskCanvas;
  const wanted = words.filter(word => !word.negative);
  const byHand = drawn || strokes.some(one => one.mode === "add");
  let note = "";
  if (!byHand && !wanted.some(word => word.score >= (word.threshold ?? settings.threshold))) {
    note = wanted.length ? "None of the words was found: try others, lower the threshold, or brush."
      : "No words given: say what to look for, or brush.";
  } else if (share === 0) note = "Nothing would be repainted: raise mask dilate, or turn invert.";
  else if (share < rules.shares[0]) note = `Only ${percent(share)} would be repainted: raise mask dilate, or turn invert.`;
  else if (share === 1) note = "Nothing would be kept: lower the threshold or mask dilate.";
  else if (share > rules.shares[1]) note = `Only ${percent(1 - share)} would be kept: lower the threshold or mask dilate.`;
  setNote(error || note);
}

function setNote(text) {
  const note = part(".mc-note");
  if (note.textContent !== text) note.textContent = text;
}

maskCanvas.ondraw = () => {
  const { threshold } = maskCanvas.settings, { word, view } = maskCanvas;
  const key = [threshold, word, view, maskCanvas.turn].join();
  if (maskCanvas.chips !== key) { maskCanvas.chips = key; refreshWords(); }
  refreshShare();
  refreshLengths();
};
