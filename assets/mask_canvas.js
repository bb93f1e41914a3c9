// Renders the mask over the photo, from the data of inference/mask/browser_view.py: the photo, and
// the words' scores as a gray picture. Sliders and strokes are applied in the browser; only new
// words, another photo or another aspect ratio need a request to the server.

const VIEWS = {
  // Colours of the layer over the photo; its opacity is the mask.
  overlay: (photo, k) => {
    const gray = 0.45 * (0.299 * photo[k] + 0.587 * photo[k + 1] + 0.114 * photo[k + 2]);
    return [gray + 0.55 * 255, gray + 0.55 * 92, gray + 0.55 * 57];
  },
  cutout: (photo, k, x, y) => (x >> 4) + (y >> 4) & 1 ? [214, 218, 225] : [244, 246, 249],
  mask: () => [255, 255, 255],
};
VIEWS.area = VIEWS.overlay;
const HEAT = [[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]];

/** The colour of a score in 255ths. */
function heatColour(score) {
  const at = score / 255 * (HEAT.length - 1), k = Math.min(HEAT.length - 2, Math.floor(at));
  return HEAT[k].map((low, channel) => low + (at - k) * (HEAT[k + 1][channel] - low));
}

/** Decode a picture from a data URI to ImageData. */
async function pixelsOf(uri) {
  const blob = await (await fetch(uri)).blob();
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** Decode a gray picture from a data URI to one value per pixel. */
async function grayOf(uri) {
  const { data, width, height } = await pixelsOf(uri);
  const values = new Uint8Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = data[4 * i];
  return { values, width, height };
}

/** Cumulative histogram: for each level, the number of values at or above it. */
function countsFrom(values) {
  const counts = new Array(257).fill(0);
  for (const value of values) counts[value]++;
  for (let level = 255; level >= 0; level--) counts[level] += counts[level + 1];
  return counts;
}

/** State of the mask and its rendering on the canvas. */
class MaskCanvas {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.image = root.querySelector("img");
    this.area = root.querySelector(".mc-area");
    this.view = "overlay";
    this.word = -1;          // index of the word whose heatmap is shown; -1: all words together
    this.settings = null;    // { threshold, invert, dilate, unit, feather, edges, width }
    this.matte = null;       // the mask with single hairs, in 255ths, once the server has sent it
    this.strokes = [];
    this.regions = new Map();  // what lies at a click, by the text of its point; null: asked for
    this.stale = { threshold: true, strokes: true, colours: true };
    this.asked = false;
    this.turn = 0;
  }

  /** Load data from the server: photo, scores, words. False if newer data arrived meanwhile. */
  async show(sent) {
    const turn = ++this.turn;
    const [photo, scores, ...heats] = await Promise.all([
      pixelsOf(sent.photo), grayOf(sent.scores), ...sent.words.map(word => grayOf(word.heat))]);
    if (turn !== this.turn) return false;
    const { width, height } = scores;
    this.sent = sent;
    for (const heat of heats) heat.reaching = countsFrom(heat.values);
    Object.assign(this, { photo: photo.data, scores: scores.values, heats, width, height });
    if (this.math?.width !== width || this.math?.height !== height) {
      this.math = new MaskMath(width, height, sent.rules);
      this.canvas.width = width;
      this.canvas.height = height;
      this.context = this.canvas.getContext("2d");
      this.layer = new ImageData(width, height);
      this.outline = [];
    }
    this.matte = null;
    this.regions.clear();
    this.image.src = sent.photo;
    this.settings = { ...sent.settings };
    this.word = Math.min(this.word, sent.words.length - 1);
    this.stale = { threshold: true, strokes: true, colours: true };
    this.ask();
    return true;
  }

  /** Schedule drawing for the next animation frame. */
  ask() {
    if (this.asked || !this.sent) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.draw(); });
  }

  /** Length of the dilation in pixels of a picture whose short side is `rules.shortSide`. */
  get dilate() {
    const { dilate, unit } = this.settings;
    return unit === "%" ? dilate * this.sent.rules.shortSide / 100 : dilate;
  }

  /** Such pixels per pixel of the grid. */
  get scale() { return this.sent.rules.shortSide / Math.min(this.width, this.height); }

  /** Such pixels in pixels of the photo. */
  inPhoto(length) {
    const [left, top, right, bottom] = this.sent.box;
    return length * Math.min(right - left, bottom - top) / this.sent.rules.shortSide;
  }

  /** Recompute everything that is stale, and draw it. */
  draw() {
    const { math, settings, stale, layer } = this;
    if (stale.threshold) math.threshold(this.scores, settings.threshold);
    if (stale.strokes) this.paintStrokes();
    const reach = 3 + Math.ceil((Math.abs(this.dilate) + settings.feather / 2) / this.scale);
    if (stale.threshold || stale.strokes || stale.edge) math.measure(this.scale, reach);
    else if (reach > math.reach) math.measure(this.scale);
    if (stale.colours) this.colour();
    this.stale = {};
    const bytes = layer.data;
    this.restoreOutline();
    let count = math.finish(bytes, settings.invert, this.dilate, settings.feather);
    if (this.matte && !this.matteHolds()) this.matte = null;
    if (this.matte) count = this.drawMatte();
    this.share = count / (this.width * this.height);
    if (this.view === "heat") this.drawHeat();
    else {
      if (!this.matte && (this.view === "overlay" || this.view === "area")) this.drawOutline();
      this.context.putImageData(layer, 0, 0);
    }
    this.drawArea();
    this.ondraw?.();
  }

  /** Fill the layer with the view's colours; the opacity is set at each frame. */
  colour() {
    const { width, height, photo, layer: { data } } = this, paint = VIEWS[this.view];
    this.outline = [];
    if (!paint) return;
    for (let y = 0, k = 0; y < height; y++) {
      for (let x = 0; x < width; x++, k += 4) {
        const colour = paint(photo, k, x, y);
        data[k] = colour[0]; data[k + 1] = colour[1]; data[k + 2] = colour[2];
      }
    }
  }

  /** Set the mask to the matte; returns the number of pixels of at least one half. */
  drawMatte() {
    const { matte, layer: { data } } = this;
    let count = 0;
    for (let i = 0, k = 3; i < matte.length; i++, k += 4) {
      data[k] = matte[i];
      if (matte[i] >= 128) count++;
    }
    return count;
  }

  /** Draw a white line along the mask's edge, one pixel of the grid wide. */
  drawOutline() {
    const { math: { distance }, layer: { data }, outline } = this;
    const sign = this.settings.invert ? -1 : 1, grow = this.dilate, wide = 1.1 * this.scale;
    for (let i = 0; i < distance.length; i++) {
      const reach = sign * distance[i] + grow;
      if (reach <= 0 || reach > wide) continue;
      const k = 4 * i;
      outline.push(k, data[k], data[k + 1], data[k + 2]);
      data[k] = data[k + 1] = data[k + 2] = data[k + 3] = 255;
    }
  }

  restoreOutline() {
    const { layer: { data }, outline } = this;
    for (let n = 0; n < outline.length; n += 4) {
      const k = outline[n];
      data[k] = outline[n + 1]; data[k + 1] = outline[n + 2]; data[k + 2] = outline[n + 3];
    }
    outline.length = 0;
  }

  /** Draw the heatmap of the scores, without rescaling them to the full range. */
  drawHeat() {
    const whole = { values: this.scores, width: this.width, height: this.height };
    const { values, width, height } = this.heats[this.word] ?? whole;
    const picture = new ImageData(width, height);
    for (let i = 0; i < values.length; i++) {
      picture.data.set(heatColour(values[i]), 4 * i);
      picture.data[4 * i + 3] = 205;
    }
    const small = new OffscreenCanvas(width, height);
    small.getContext("2d").putImageData(picture, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    this.context.drawImage(small, 0, 0, this.width, this.height);
  }

  /** Rasterize the recipe's strokes on this grid. */
  paintStrokes() {
    this.math.wipe();
    for (const stroke of this.strokes) this.paintStroke(stroke, 0);
  }

  /** Rasterize a stroke from its point `first` on; lengths are in ten-thousandths of the photo. */
  paintStroke({ mode, radius, points }, first) {
    if (radius === 0) { this.paintClick(mode, points); return; }
    const { photoSize: [wide, high], box: [left, top, right, bottom], rules } = this.sent;
    const scaleX = this.width / (right - left), scaleY = this.height / (bottom - top);
    const reach = radius / rules.unit * Math.min(wide, high) * scaleX;
    const place = ([x, y]) => [
      (x / rules.unit * wide - left) * scaleX, (y / rules.unit * high - top) * scaleY];
    const value = mode === "add" ? ADD : REMOVE;
    for (let k = Math.max(first, 1) - 1; k < Math.max(points.length - 1, 1); k++) {
      const start = place(points[k]), end = place(points[k + 1] ?? points[k]);
      this.math.brush(...start, ...end, reach, value);
    }
  }

  /** Set what lies at clicked points, where the server has said it. */
  paintClick(mode, points) {
    const { strokes } = this.math, value = mode === "add" ? ADD : REMOVE;
    for (const point of points) {
      const region = this.regions.get(point.join(","));
      if (region) region.forEach((inside, i) => { if (inside) strokes[i] = value; });
    }
  }

  /** The part of the canvas to paint and its size, like geometry.mask_box and generation_size. */
  paintedArea() {
    const { width, height, layer: { data }, sent: { canvas, native, rules } } = this;
    let left = width, right = -1, top = height, bottom = -1;
    for (let y = 0, k = 3; y < height; y++) {
      for (let x = 0; x < width; x++, k += 4) {
        if (!data[k]) continue;
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        bottom = y;
      }
    }
    if (right < 0) return null;
    const scale = canvas[0] / width, wide = (right + 1 - left) * scale, high = (bottom + 1 - top) * scale;
    const context = Math.round(2 * rules.context * Math.max(wide, high));
    const least = Math.max(native, Math.ceil((Math.max(wide, high) + context) / rules.maxAspect));
    const sides = [[wide, canvas[0]], [high, canvas[1]]].map(
      ([length, limit]) => Math.min(limit, Math.max(least, Math.round(length) + context)));
    const slide = (middle, length, limit) => Math.min(Math.max(middle - length / 2, 0), limit - length);
    const shrink = native / Math.sqrt(sides[0] * sides[1]);
    const at = sides.map(side => Math.max(rules.factor, Math.floor(side * shrink / rules.factor + 0.5) * rules.factor));
    const x = slide((left + right + 1) / 2 * scale, sides[0], canvas[0]);
    const y = slide((top + bottom + 1) / 2 * scale, sides[1], canvas[1]);
    return { x, y, sides, at };
  }

  drawArea() {
    const found = this.view === "area" ? this.paintedArea() : null;
    this.area.hidden = !found;
    if (!found) return;
    const { x, y, sides, at } = found, [wide, high] = this.sent.canvas, percent = part => `${100 * part}%`;
    Object.assign(this.area.style, { left: percent(x / wide), top: percent(y / high),
      width: percent(sides[0] / wide), height: percent(sides[1] / high) });
    const text = `${sides[0]} × ${sides[1]} of ${wide} × ${high}, painted at ${at[0]} × ${at[1]}`;
    this.area.firstElementChild.textContent = text;
  }
}
