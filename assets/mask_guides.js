// Guides below the mask: one line about a mask that is empty or implausible, and buttons that change
// the page's fields, so that the recipe says what was done.

const PIECES = 4;   // pieces of a plausible mask, for each person
const SMALL = 0.1;  // below this share of the largest piece, a piece is a speck
const MOST_STROKES = 300;  // that one button draws

/**
 * What is implausible about a mask, and which buttons help. The only place of these rules.
 * @param {{words: {phrase: string, found: boolean, noun: string, absence: string, negative: boolean}[],
 *   byHand: boolean, covered: number, share: number, areas: number[], people: number,
 *   shares: number[]}} state covered: share of the picture that was found; share: that is repainted;
 *   areas: of the pieces of what was found, the largest first; shares: the usual ones
 * @returns {{text: string, deeds: string[]}}
 */
function guideOf({ words, byHand, covered, share, areas, people, shares }) {
  const wanted = words.filter(word => !word.negative);
  const tries = wanted.some(word => word.noun) ? [] : ["person"];
  if (!byHand && !wanted.some(word => word.found)) {
    if (!wanted.length) return { text: "No words given: say what to look for, or brush.", deeds: ["person", "brush"] };
    const counted = wanted.find(word => word.absence.startsWith("only"));
    if (counted) return { text: `There are fewer people: ${counted.absence}.`, deeds: ["all"] };
    return { text: "None of the words was found: try others, lower the threshold, or brush.", deeds: [...tries, "brush"] };
  }
  if (covered === 0) return { text: "Nothing is left of what was found: take less out, or brush.", deeds: [...tries, "brush"] };
  if (covered > shares[1]) return { text: "All of the picture was found: name what is in it, or brush.", deeds: [...tries, "brush"] };
  if (share === 0) return { text: "Nothing would be repainted: raise mask dilate, or turn invert.", deeds: [] };
  if (share < shares[0]) return { text: `Only ${percent(share)} would be repainted: raise mask dilate, or turn invert.`, deeds: [] };
  if (share === 1) return { text: "Nothing would be kept: lower the threshold or mask dilate.", deeds: [] };
  if (share > shares[1]) return { text: `Only ${percent(1 - share)} would be kept: lower the threshold or mask dilate.`, deeds: [] };
  if (areas.length > PIECES * Math.max(1, people)) {
    const deeds = areas.some(area => area < SMALL * areas[0]) ? ["specks", "largest"] : ["largest"];
    return { text: `What was found lies in ${areas.length} pieces.`, deeds };
  }
  return { text: "", deeds: [] };
}

maskCanvas.guideOf = guideOf;

// The pieces of what was found: { labels, areas, order }, with the labels in order of their areas.
let pieces = null, measured = "", noticed = "";

/** Connected pieces (8 neighbours) of a mask of zeros and ones, the largest first. */
function piecesOf(inside, width, height) {
  const labels = new Int32Array(inside.length), areas = [0], stack = [];
  for (let start = 0; start < inside.length; start++) {
    if (!inside[start] || labels[start]) continue;
    const label = areas.push(0) - 1;
    labels[start] = label;
    stack.push(start);
    while (stack.length) {
      const at = stack.pop(), x = at % width, y = (at - x) / width;
      areas[label]++;
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          const near = v * width + u;
          if (inside[near] && !labels[near]) { labels[near] = label; stack.push(near); }
        }
      }
    }
  }
  const order = [...areas.keys()].slice(1).sort((a, b) => areas[b] - areas[a]);
  return { labels, order, areas: order.map(label => areas[label]) };
}

/** Draw strokes that remove pieces, and touch no other. */
function removePieces(unwanted) {
  const { width, height, math: { inside }, sent: { rules }, strokes } = maskCanvas;
  const others = new MaskMath(width, height, rules), left = new Map([...unwanted].map(label => [label, []]));
  for (let i = 0; i < inside.length; i++) {
    if (left.has(pieces.labels[i])) left.get(pieces.labels[i]).push(i);
    else others.found[i] = inside[i];
  }
  others.measure(1);
  const made = [];
  for (let pixels of left.values()) {
    while (pixels.length && made.length < MOST_STROKES) {
      const [at, reach] = discIn(pixels, width, others.distance);
      made.push(dot(at, reach));
      pixels = pixels.filter(pixel => pixel !== at && Math.hypot(pixel % width - at % width,
        Math.floor(pixel / width) - Math.floor(at / width)) > reach - 0.2);
    }
  }
  remember();
  setStrokes([...strokes, ...made]);
}

/** The pixel and the radius of a disc that covers all these pixels, or as many as others allow. */
function discIn(pixels, width, distance) {
  const place = pixel => [pixel % width, Math.floor(pixel / width)];
  const apart = ([x, y], pixel) => Math.hypot(pixel % width - x, Math.floor(pixel / width) - y);
  const room = pixel => Math.max(0.6, -distance[pixel] - 0.7);
  const nearest = (score, among) => among.reduce((best, pixel) => score(pixel) < score(best) ? pixel : best);
  const middle = [0, 1].map(axis => pixels.reduce((sum, pixel) => sum + place(pixel)[axis], 0) / pixels.length);
  const needs = at => 0.8 + pixels.reduce((most, pixel) => Math.max(most, apart(place(at), pixel)), 0);
  let at = nearest(pixel => apart(middle, pixel), pixels);
  if (room(at) < needs(at)) at = nearest(pixel => -room(pixel), pixels);
  return [at, Math.min(room(at), needs(at))];
}

/** A stroke of one point that removes a disc of the grid. */
function dot(at, reach) {
  const { width, height, sent: { photoSize: [wide, high], box: [left, top, right, bottom], rules } } = maskCanvas;
  const scaleX = width / (right - left), scaleY = height / (bottom - top);
  const x = ((at % width + 0.5) / scaleX + left) / wide, y = ((Math.floor(at / width) + 0.5) / scaleY + top) / high;
  const radius = Math.max(1, Math.floor(reach / scaleX / Math.min(wide, high) * rules.unit));
  return { mode: "remove", radius, points: [[x, y].map(share => Math.round(share * rules.unit))] };
}

const wantedWords = () => maskCanvas.sent.words.filter(word => !word.negative);

// Each changes a field of the page: words, strokes, or the brush in hand.
const GUIDES = {
  person: { label: () => "Try “person”", help: "Looks for a person",
    act: () => setField(control("mask_prompt", "input, textarea"), "person") },
  all: { label: () => "All people", help: "Takes the number out of the words",
    act: () => wantedWords().filter(word => word.absence.startsWith("only")).forEach(word => renameWord(word, word.noun)) },
  brush: { label: () => "Brush", help: "Takes the brush in hand", act: takeBrush },
  largest: { label: () => maskCanvas.settings.invert ? "Keep the largest piece" : "Only the largest piece",
    help: "Names the largest person, or brushes the other pieces away", act: keepLargest },
  specks: { label: () => "Drop specks", help: "Brushes the small pieces away",
    act: () => removePieces(pieces.order.filter((_, k) => pieces.areas[k] < SMALL * pieces.areas[0])) },
};

/** Take the brush that adds to what was found; where all was found, the one that removes. */
function takeBrush() {
  const adds = !pieces || pieces.areas.reduce((sum, area) => sum + area, 0) < pieces.labels.length / 2;
  setTool(adds === maskCanvas.settings.invert ? "keep" : "repaint");
  part(`[data-tool=${tool}]`).focus();
}

function keepLargest() {
  const words = wantedWords(), [word] = words;
  const several = words.length === 1 && word.noun === word.phrase && maskCanvas.sent.people.length > 1;
  if (several) renameWord(word, `largest ${word.noun}`);
  else removePieces(pieces.order.slice(1));
}

/** Update the line below the words, once the mask has settled. */
function refreshNote() {
  const { sent: { words, drawn, rules, people }, settings, share, strokes, math, width, height, turn } = maskCanvas;
  const now = [turn, settings.threshold, written, strokes.length].join();
  if (now === noticed && now !== measured && !maskCanvas.asked) {
    pieces = piecesOf(math.inside, width, height);
    measured = now;
  }
  noticed = now;
  const found = word => word.score >= (word.threshold ?? settings.threshold);
  const { text, deeds } = guideOf({
    words: words.map(word => ({ ...word, found: found(word) })),
    byHand: drawn || strokes.some(one => one.mode === "add"),
    covered: pieces ? pieces.areas.reduce((sum, area) => sum + area, 0) / pieces.labels.length : 0.5,
    areas: pieces?.areas ?? [], people: people.length, share, shares: rules.shares,
  });
  setNote(error || text, error ? [] : deeds);
}

function setNote(text, deeds = []) {
  const note = part(".mc-note"), labels = deeds.map(name => GUIDES[name].label()), key = [text, ...labels].join("|");
  if (note.dataset.key === key) return;
  note.dataset.key = key;
  const buttons = deeds.map((name, k) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = labels[k];
    button.title = GUIDES[name].help;
    button.onclick = GUIDES[name].act;
    return button;
  });
  note.replaceChildren(...(text ? [text, ...buttons] : []));
}
