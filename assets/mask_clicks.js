// Clicks: strokes of radius 0, which stand for what lies at their points. The server finds it, once for
// each point; until it has, a click shows nothing.

/** Ask for what lies at clicks that are new. */
function refreshRegions() {
  const { strokes, regions } = maskCanvas;
  const points = strokes.filter(one => one.radius === 0).flatMap(one => one.points.map(point => point.join(",")));
  const missing = points.filter(point => !regions.has(point));
  for (const point of missing) regions.set(point, null);
  // The hidden field with the strokes reaches the page's state a moment later.
  if (missing.length) setTimeout(() => trigger("select"), 50);
  picture.classList.toggle("waiting", points.some(point => !regions.get(point)));
}

document.addEventListener("regions", async ({ detail }) => {
  if (!detail?.regions || !maskCanvas.sent || detail.detection !== maskCanvas.sent.detection) return;
  const { turn } = maskCanvas;
  for (const [point, uri] of Object.entries(detail.regions)) {
    const { values } = await grayOf(uri);
    if (turn !== maskCanvas.turn || values.length !== maskCanvas.scores.length) return;
    maskCanvas.regions.set(point, values);
  }
  maskCanvas.stale.strokes = true;
  maskCanvas.ask();
  refreshRegions();
});
