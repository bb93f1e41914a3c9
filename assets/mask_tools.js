// Mask canvas tools: views, zoom, brush and keyboard. Listens to the page's sliders directly;
// strokes are sent to the server as text in a hidden field.

const RANGES = {
  mask_threshold: "threshold", mask_dilate: "dilate", mask_feather: "feather", mask_matte_width: "width",
};
const MIN_RADIUS = 20, MAX_RADIUS = 2000; // ten-thousandths of the photo's short side
const MAX_ZOOM = 8;
const TAP = 5; // pixels of the screen that a tap may move

const maskCanvas = new MaskCanvas(element.querySelector(".mask-canvas"));
element.maskCanvas = maskCanvas;
const part = selector => element.querySelector(selector);
const stage = part(".mc-stage"), picture = part(".mc-picture"), cursor = part(".mc-brush");
const sizer = part(".mc-tools input");
let tool = null, stroke = null, tapped = null, zoom = 1, history = [], written = "", photoId = null, error = "";

// --- the page's own sliders ----------------------------------------------------------------------

/** A control of the page; null while its fold is closed. */
const control = (name, kind) => document.querySelector(`#${name} :is(${kind})`);

/** Read the page's controls; hidden ones keep their value. True if any value changed. */
function readControls(name, value) {
  const now = { ...maskCanvas.settings };
  for (const [id, key] of Object.entries(RANGES)) {
    const text = control(id, "input[type=number]")?.value;
    if (text !== undefined && text !== "" && Number.isFinite(+text)) now[key] = +text;
  }
  now.unit = control("mask_dilate_unit", "input:checked")?.value ?? now.unit;
  now.invert = control("mask_invert", "input")?.checked ?? now.invert;
  now.edges = control("mask_edges", "input")?.value.toLowerCase() || now.edges;
  if (name) now[name] = value;
  const changed = Object.keys(now).filter(key => now[key] !== maskCanvas.settings[key]);
  maskCanvas.settings = now;
  if (changed.includes("threshold")) maskCanvas.stale.threshold = true;
  return changed.length > 0;
}

document.addEventListener("input", event => {
  const id = event.target.closest?.(".recipe-field")?.id;
  // The number field of a slider is updated later, so the slider's own value is used.
  if (!maskCanvas.sent || !(id in RANGES || id === "mask_invert") || event.target.value === "") return;
  const value = id === "mask_invert" ? event.target.checked : +event.target.value;
  if (readControls(RANGES[id] ?? "invert", value)) maskCanvas.ask();
  refreshMatte();
}, true);

// Polls for changes by the server, such as an example's settings or the unit of a length.
setInterval(() => {
  if (!maskCanvas.sent || stroke || !element.offsetParent) return;
  const field = control("mask_strokes", "input, textarea");
  if (field && field.value !== written) {
    written = field.value;
    maskCanvas.strokes = parseStrokes(written);
    maskCanvas.stale.strokes = true;
    maskCanvas.ask();
  }
  if (readControls()) maskCanvas.ask();
  refreshRegions();
  refreshMatte();
  refreshLengths();
  refreshNote();
}, 250);

// --- views and zoom ------------------------------------------------------------------------------

function setView(view) {
  maskCanvas.view = view;
  maskCanvas.stale.colours = true;
  maskCanvas.root.dataset.shows = view;
  for (const button of element.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-checked", button.dataset.view === view);
    button.tabIndex = button.dataset.view === view ? 0 : -1;
  }
  part(".mc-legend").hidden = view !== "heat";
  maskCanvas.ask();
}

function setZoom(value) {
  zoom = Math.min(MAX_ZOOM, Math.max(1, value));
  fit();
}

/** Scale the picture to the stage's size times the zoom, around the same centre. */
function fit() {
  if (!maskCanvas.sent) return;
  const { clientWidth: wide, clientHeight: high } = stage, { width, height } = maskCanvas;
  const middle = [(stage.scrollLeft + wide / 2) / stage.scrollWidth, (stage.scrollTop + high / 2) / stage.scrollHeight];
  const scale = Math.min(wide / width, high / height) * zoom;
  picture.style.width = `${Math.floor(width * scale)}px`;
  picture.style.height = `${Math.floor(height * scale)}px`;
  stage.scrollLeft = middle[0] * stage.scrollWidth - wide / 2;
  stage.scrollTop = middle[1] * stage.scrollHeight - high / 2;
  part("[data-do=fit]").textContent = `${Math.round(100 * zoom)}%`;
}
new ResizeObserver(fit).observe(stage);

stage.addEventListener("wheel", event => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  setZoom(zoom * Math.exp(-event.deltaY / 200));
}, { passive: false });

const DEEDS = {
  in: () => setZoom(zoom * 1.5),
  out: () => setZoom(zoom / 1.5),
  fit: () => setZoom(1),
  full: () => document.fullscreenElement ? document.exitFullscreen() : maskCanvas.root.requestFullscreen(),
  undo: () => history.length && setStrokes(history.pop()),
  reset: () => { remember(); setStrokes([]); },
};

element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button || !element.contains(button)) return;
  if (button.dataset.view) { maskCanvas.word = -1; setView(button.dataset.view); }
  if (button.dataset.tool) setTool(tool === button.dataset.tool ? null : button.dataset.tool);
  DEEDS[button.dataset.do]?.();
});

part(".mc-views").addEventListener("keydown", event => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const buttons = [...element.querySelectorAll("[data-view]")];
  const next = buttons[(buttons.findIndex(one => one.dataset.view === maskCanvas.view) + step + buttons.length) % buttons.length];
  next.click();
  next.focus();
});

// --- brush ---------------------------------------------------------------------------------------

const radius = () => Math.round(MIN_RADIUS * (MAX_RADIUS / MIN_RADIUS) ** (sizer.value / 100));

const formatStrokes = strokes => strokes.map(({ mode, radius, points }) =>
  `${mode === "add" ? "+" : "-"}${radius}:${points.map(point => point.join(",")).join(" ")}`).join(";");

const parseStrokes = text => [...text.matchAll(/([+-])(\d+):([\d, ]+)/g)].map(([, sign, size, points]) => ({
  mode: sign === "+" ? "add" : "remove",
  radius: +size,
  points: points.trim().split(/ +/).map(point => point.split(",").map(Number)),
}));

sizer.addEventListener("input", () => { if (maskCanvas.sent) refreshLengths(); });

const remember = () => history.push([...maskCanvas.strokes]);

function setStrokes(strokes) {
  maskCanvas.strokes = strokes;
  maskCanvas.stale.strokes = true;
  maskCanvas.ask();
  const field = control("mask_strokes", "input, textarea");
  written = formatStrokes(strokes);
  if (field) {
    field.value = written;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  refreshTools();
}

function refreshTools() {
  part("[data-do=undo]").disabled = history.length === 0;
  part("[data-do=reset]").disabled = maskCanvas.strokes.length === 0;
}

function setTool(name) {
  tool = name;
  for (const button of element.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", button.dataset.tool === name);
  }
  picture.classList.toggle("brushing", Boolean(name));
  cursor.hidden = true;
}

/** A pointer's position in ten-thousandths of the photo. */
function placeOf(event) {
  const rect = picture.getBoundingClientRect(), { photoSize, box, rules } = maskCanvas.sent;
  const along = [(event.clientX - rect.left) / rect.width, (event.clientY - rect.top) / rect.height];
  return along.map((share, axis) => {
    const at = box[axis] + Math.min(1, Math.max(0, share)) * (box[axis + 2] - box[axis]);
    return Math.round(at / photoSize[axis] * rules.unit);
  });
}

function moveCursor(event) {
  const rect = picture.getBoundingClientRect(), { photoSize, box, rules } = maskCanvas.sent;
  const size = 2 * radius() / rules.unit * Math.min(...photoSize) * rect.width / (box[2] - box[0]);
  cursor.hidden = !tool;
  cursor.className = `mc-brush ${tool}`;
  Object.assign(cursor.style, { width: `${size}px`, height: `${size}px`,
    left: `${event.clientX - rect.left}px`, top: `${event.clientY - rect.top}px` });
}

function extend(event) {
  const last = stroke.points.at(-1), next = placeOf(event);
  if (stroke.radius === 0) {
    if (Math.hypot(event.clientX - tapped.clientX, event.clientY - tapped.clientY) < TAP) return;
    stroke.radius = radius();  // it is no tap, but a stroke
    maskCanvas.paintStroke(stroke, 0);
  }
  if (Math.hypot(next[0] - last[0], next[1] - last[1]) < Math.max(8, stroke.radius / 8)) return;
  stroke.points.push(next);
  maskCanvas.paintStroke(stroke, stroke.points.length - 1);
  maskCanvas.stale.edge = true;
  maskCanvas.ask();
}

picture.addEventListener("pointerdown", event => {
  if (!tool || !event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  picture.setPointerCapture(event.pointerId);
  remember();
  const adds = (tool === "keep") === maskCanvas.settings.invert;
  tapped = event;
  stroke = { mode: adds ? "add" : "remove", radius: event.shiftKey ? radius() : 0, points: [placeOf(event)] };
  maskCanvas.strokes = [...maskCanvas.strokes, stroke];
  maskCanvas.paintStroke(stroke, 0);
  maskCanvas.stale.edge = true;
  maskCanvas.ask();
  moveCursor(event);
});
picture.addEventListener("pointermove", event => {
  if (!tool) return;
  moveCursor(event);
  const between = event.getCoalescedEvents?.() ?? [];
  if (stroke) for (const one of between.length ? between : [event]) extend(one);
});
const endStroke = () => {
  if (!stroke) return;
  stroke = null;
  setStrokes(maskCanvas.strokes);
  refreshRegions();
};
picture.addEventListener("pointerup", endStroke);
picture.addEventListener("pointercancel", endStroke);
picture.addEventListener("pointerleave", () => { if (!stroke) cursor.hidden = true; });

// --- keys ----------------------------------------------------------------------------------------

document.addEventListener("keydown", event => {
  const typing = event.target.isContentEditable || event.target.matches?.("textarea, select, input:not([type=range], [type=checkbox], [type=radio])");
  if (typing || !maskCanvas.sent || !element.offsetParent) return;
  const undo = (event.ctrlKey || event.metaKey) && event.key === "z";
  if (undo) DEEDS.undo();
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (event.key === "i") control("mask_invert", "input")?.click();
  else if (event.key === "[" || event.key === "]") {
    sizer.value = +sizer.value + (event.key === "]" ? 5 : -5);
    refreshLengths();
  }
  else if (event.key === "Escape" && tool) setTool(null);
  else return;
  event.preventDefault();
});

// --- what the server sends -----------------------------------------------------------------------

async function take() {
  const sent = props.value;
  if (!sent) return;
  error = sent.error ?? "";
  if (error) { setNote(error); return; }
  if (sent.photoId !== photoId) {
    photoId = sent.photoId;
    history = [];
    setTool(null);
    zoom = 1;
  }
  if (!await maskCanvas.show(sent)) return;
  makeChips();
  maskCanvas.chips = "";
  readControls();
  refreshTools();
  fit();
}
watch("value", take);
setView("overlay");
take();
