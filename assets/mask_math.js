// Computes the mask from scores and strokes, like inference/mask/distance_field.py and brush.py:
// threshold, without specks → strokes → distance → invert → dilate → feather. Rounds to 32 bits
// where Python does; a test compares the pixels of both. Does not access the DOM.

const NOTHING = 0, ADD = 1, REMOVE = 2;

/** Buffers for masks of one size, and the steps of the computation. */
class MaskMath {
  /**
   * @param {number} width
   * @param {number} height
   * @param {{speck: number, hole: number, far: number, unit: number}} rules as in Python
   */
  constructor(width, height, rules) {
    const pixels = width * height;
    Object.assign(this, { width, height, rules });
    this.found = new Uint8Array(pixels);      // the threshold's result, without specks
    this.strokes = new Uint8Array(pixels);    // mode of the last stroke over each pixel
    this.inside = new Uint8Array(pixels);     // found, with the strokes applied
    this.distance = new Float32Array(pixels); // signed, at a short side of 512
    this.gap = new Int16Array(pixels);        // rows to the nearest pixel of the other kind
    const runs = height * Math.ceil((width + 1) / 2) + 1;
    this.runs = { start: new Int32Array(runs), end: new Int32Array(runs),
                  parent: new Int32Array(runs), area: new Int32Array(runs) };
    this.first = new Int32Array(height + 1);
    this.site = new Int32Array(width + 2);
    this.from = new Int32Array(width + 2);
    this.square = new Int32Array(width + 2);
  }

  /** Threshold (0–1) the scores (255ths), drop small islands and fill small holes. */
  threshold(scores, threshold) {
    const least = Math.ceil(threshold * 255), found = this.found;
    for (let i = 0; i < found.length; i++) found[i] = scores[i] >= least ? 1 : 0;
    this.flipSmall(1, 1, areas => this.rules.speck * areas.reduce((a, b) => Math.max(a, b), 0));
    let count = 0;
    for (let i = 0; i < found.length; i++) count += found[i];
    this.flipSmall(0, 0, () => this.rules.hole * count);
  }

  /** Invert the connected components of a value that are smaller than a limit. */
  flipSmall(value, reach, limit) {
    const { start, end, parent, area } = this.runs, { width, height, found, first } = this;
    const root = run => {
      while (parent[run] !== run) run = parent[run] = parent[parent[run]];
      return run;
    };
    let count = 0;
    for (let y = 0; y < height; y++) {
      first[y] = count;
      const row = y * width;
      for (let x = 0; x < width; x++) {
        if (found[row + x] !== value) continue;
        const from = x;
        while (x < width && found[row + x] === value) x++;
        start[count] = from; end[count] = x; parent[count] = count; area[count] = x - from;
        count++;
      }
      if (y === 0) continue;
      // Runs of neighbouring rows are connected if they overlap, or touch within `reach`.
      let above = first[y - 1];
      for (let run = first[y]; run < count; run++) {
        while (above < first[y] && end[above] + reach <= start[run]) above++;
        for (let k = above; k < first[y] && start[k] < end[run] + reach; k++) {
          const a = root(k), b = root(run);
          if (a !== b) { parent[b] = a; area[a] += area[b]; }
        }
      }
    }
    first[height] = count;
    const roots = [];
    for (let run = 0; run < count; run++) if (parent[run] === run) roots.push(area[run]);
    const least = limit(roots);
    for (let y = 0; y < height; y++) {
      for (let run = first[y]; run < first[y + 1]; run++) {
        if (area[root(run)] >= least) continue;
        found.fill(1 - value, y * width + start[run], y * width + end[run]);
      }
    }
  }

  /** Clear all strokes. */
  wipe() { this.strokes.fill(NOTHING); }

  /** Set every pixel whose centre is within `radius` of a segment; lengths in grid pixels. */
  brush(ax, ay, bx, by, radius, value) {
    const { width, height, strokes } = this;
    const left = Math.max(0, Math.floor(Math.min(ax, bx) - radius));
    const right = Math.min(width, Math.ceil(Math.max(ax, bx) + radius) + 1);
    const top = Math.max(0, Math.floor(Math.min(ay, by) - radius));
    const bottom = Math.min(height, Math.ceil(Math.max(ay, by) + radius) + 1);
    const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy, square = radius * radius;
    for (let row = top; row < bottom; row++) {
      const y = row + 0.5 - ay;
      for (let column = left; column < right; column++) {
        const x = column + 0.5 - ax;
        let along = length > 0 ? (x * dx + y * dy) / length : 0;
        along = Math.min(Math.max(along, 0), 1);
        const offX = x - along * dx, offY = y - along * dy;
        if (offX * offX + offY * offY <= square) strokes[row * width + column] = value;
      }
    }
  }

  /**
   * Apply the strokes to the thresholded scores, and compute the distance to the edge.
   * @param {number} scale length of a grid pixel
   * @param {number} reach grid pixels up to which distances must be exact; longer ones may be too
   *   long, which has no effect as long as dilation and feather stay below it
   */
  measure(scale, reach = Infinity) {
    this.reach = reach;
    const { inside, found, strokes, distance } = this;
    let count = 0;
    for (let i = 0; i < inside.length; i++) {
      count += inside[i] = strokes[i] === NOTHING ? found[i] : strokes[i] === ADD ? 1 : 0;
    }
    if (count === 0 || count === inside.length) distance.fill(count ? this.rules.far : -this.rules.far);
    else {
      this.measureColumns();
      for (let y = 0; y < this.height; y++) this.measureRow(y * this.width, scale, reach);
    }
  }

  /** Distances to the other kind within each column. */
  measureColumns() {
    const { width, inside, gap } = this, pixels = inside.length;
    gap.fill(1 << 14, 0, width);
    for (let i = width; i < pixels; i++) gap[i] = inside[i] === inside[i - width] ? gap[i - width] + 1 : 1;
    for (let i = pixels - width - 1; i >= 0; i--) {
      const below = inside[i] === inside[i + width] ? gap[i + width] + 1 : 1;
      if (below < gap[i]) gap[i] = below;
    }
  }

  /**
   * Distances along a row: the lower envelope of parabolas, as in Meijster, Roerdink and
   * Hesselink, "A General Algorithm for Computing Distance Transforms in Linear Time" (2000).
   * Pixels beyond the neighbour of a run of one kind are never nearer than that neighbour, so each
   * run is computed independently, and both kinds in one pass.
   */
  measureRow(row, scale, reach) {
    const { width, inside, gap, distance, site, from, square } = this;
    for (let begin = 0; begin < width;) {
      const kind = inside[row + begin];
      let end = begin + 1;
      while (end < width && inside[row + end] === kind) end++;
      const low = Math.max(0, begin - 1), high = Math.min(width, end + 1);
      let top = -1;
      for (let x = low; x < high; x++) {
        const up = x < begin || x >= end ? 0 : gap[row + x];
        if (up > reach) continue;
        square[x] = up * up;
        while (top >= 0) {
          const at = from[top], old = at - site[top], now = at - x;
          if (old * old + square[site[top]] > now * now + square[x]) top--;
          else break;
        }
        let start = low;
        if (top >= 0) {
          const last = site[top];
          start = 1 + ((x * x - last * last + square[x] - square[last]) / (2 * (x - last)) | 0);
          if (start >= high) continue;
        }
        top++;
        site[top] = x;
        from[top] = start;
      }
      if (top < 0) {
        distance.fill(kind ? this.rules.far : -this.rules.far, row + begin, row + end);
        begin = end;
        continue;
      }
      const sign = kind ? scale : -scale, far = kind ? this.rules.far : -this.rules.far;
      for (let stop = end; top >= 0; stop = Math.min(stop, from[top--])) {
        // Beyond `reach`, the pixels of a site's segment are far from every edge.
        const at = site[top], up = square[at], start = Math.max(begin, from[top]);
        const first = Math.max(start, at - reach), last = Math.min(stop, at + reach + 1);
        if (first >= last) { distance.fill(far, row + start, row + stop); continue; }
        distance.fill(far, row + start, row + first);
        for (let x = first; x < last; x++) {
          distance[row + x] = (Math.sqrt((x - at) * (x - at) + up) - 0.5) * sign;
        }
        distance.fill(far, row + last, row + stop);
      }
      begin = end;
    }
  }

  /**
   * Invert, dilate, feather: writes the mask into every fourth byte of `bytes`.
   * @returns {number} number of pixels with an alpha of at least one half
   */
  finish(bytes, invert, dilate, feather) {
    const { distance } = this, sign = invert ? -1 : 1, grow = Math.fround(dilate);
    let count = 0;
    for (let i = 0, k = 3; i < distance.length; i++, k += 4) {
      const reach = sign * distance[i] + grow;
      let alpha;
      if (feather === 0) alpha = reach > 0 ? 255 : 0;
      else {
        alpha = 0.5 + reach / feather;
        alpha = alpha <= 0 ? 0 : alpha >= 1 ? 255 : (alpha * 255 + 0.5) | 0;
      }
      bytes[k] = alpha;
      if (alpha >= 128) count++;
    }
    return count;
  }
}
