// The matte: when nothing has moved for a while, the server is asked for the mask with single hairs,
// which replaces the soft line until something moves again.

const MATTE_DELAY = 100; // milliseconds
let matteTimer = 0, wantedMatte = "", repeatedMatte = "";

/** What a matte depends on, as text. */
const matteKey = ({ threshold, invert, dilate, unit, width }, strokes) =>
  [+threshold, invert, +dilate, unit, +width, strokes].join("|");

const currentKey = () => matteKey(maskCanvas.settings, formatStrokes(maskCanvas.strokes));

/** Whether the mask's edge is a matte. */
function isMatted() {
  const { settings: { edges }, sent: { reader } } = maskCanvas;
  return edges === "matte" || edges === "automatic" && reader === "photograph";
}

/** Whether the matte belongs to the present settings. */
maskCanvas.matteHolds = () => isMatted() && maskCanvas.matteKey === currentKey();

/** Ask for a matte of the present settings, once. */
function refreshMatte() {
  const wanted = isMatted() ? `${maskCanvas.turn}|${currentKey()}` : "";
  if (wanted === wantedMatte) return;
  wantedMatte = wanted;
  clearTimeout(matteTimer);
  if (wanted) matteTimer = setTimeout(() => trigger("submit"), MATTE_DELAY);
}

/** Use a matte from the server, if it belongs to what is shown. */
document.addEventListener("matte", async ({ detail }) => {
  if (!detail?.alpha || !maskCanvas.sent) return;
  const { values } = await grayOf(detail.alpha);
  if (detail.detection !== maskCanvas.sent.detection || values.length !== maskCanvas.scores.length) return;
  maskCanvas.matteKey = matteKey(detail.settings, detail.strokes);
  maskCanvas.matte = values;
  maskCanvas.ask();
  // The page's state may reach the server later than the slider's event: ask once more.
  if (!maskCanvas.matteHolds() && repeatedMatte !== wantedMatte) {
    repeatedMatte = wantedMatte;
    wantedMatte = "";
  }
});
