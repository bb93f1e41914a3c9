// The wider scene's frame: the picture is dragged to one of nine places on its canvas, and the
// canvas's corner to another size; arrow keys do the same. The form's fields hold what is chosen.

const ROWS = ["top", "center", "bottom"], COLUMNS = ["left", "center", "right"];
const MOST = 8192, STEP = 64;       // sides of a canvas, in pixels of the picture
const ROOM = [360, 200];            // of the frame, in CSS pixels
const frame = element.querySelector(".wider-frame"), corner = frame.querySelector(".wf-corner");
const picture = frame.querySelector(".wf-picture"), sizes = frame.querySelector("output");
let sent = null, scale = 1;

/** Column and row, 0 to 2, of an anchor such as "top-left" or "center". */
function placeOf(anchor) {
  const words = anchor.split("-");
  const index = (names) => Math.max(...words.map((word) => (word === "center" ? -1 : names.indexOf(word))));
  return [COLUMNS, ROWS].map(names => (index(names) < 0 ? 1 : index(names)));
}

function anchorOf([column, row]) {
  if (column === 1 && row === 1) return "center";
  return row === 1 ? `${COLUMNS[column]}-center` : `${ROWS[row]}-${COLUMNS[column]}`;
}

const limited = (value, low, high) => Math.min(high, Math.max(low, value));

function lay(canvas = sent.canvas) {
  const place = placeOf(sent.anchor);
  frame.style.width = `${canvas[0] * scale}px`;
  frame.style.height = `${canvas[1] * scale}px`;
  picture.style.width = `${sent.picture[0] * scale}px`;
  picture.style.height = `${sent.picture[1] * scale}px`;
  picture.style.left = `${(canvas[0] - sent.picture[0]) * scale * place[0] / 2}px`;
  picture.style.top = `${(canvas[1] - sent.picture[1]) * scale * place[1] / 2}px`;
  sizes.textContent = `${canvas[0]} × ${canvas[1]}`;
}

function show() {
  sent = props.value?.canvas ? props.value : null;
  element.hidden = !sent;
  if (!sent) return;
  scale = Math.min(ROOM[0] / sent.canvas[0], ROOM[1] / sent.canvas[1]);
  const photo = document.querySelector("#mask .mc-picture img");
  picture.style.backgroundImage = photo?.src ? `url("${photo.src}")` : "";
  lay();
}

/** Tell the form; it answers with a new value. */
function choose(anchor, [width, height]) {
  const field = document.querySelector("#wider-asked :is(textarea, input)");
  field.value = JSON.stringify({ outpaint: anchor, outpaint_width: width, outpaint_height: height });
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

const chosenSize = (dx, dy) => [0, 1].map(axis =>
  Math.round(limited(sent.canvas[axis] + [dx, dy][axis], sent.picture[axis], MOST)));

/** Call `move(dx, dy)` while a handle is dragged, in CSS pixels, and `drop(dx, dy)` at the end. */
function drag(handle, move, drop) {
  handle.addEventListener("pointerdown", (down) => {
    if (!sent || down.button) return;
    handle.setPointerCapture(down.pointerId);
    const moved = event => [event.clientX - down.clientX, event.clientY - down.clientY];
    const follow = event => move(...moved(event));
    const end = (event) => {
      handle.removeEventListener("pointermove", follow);
      if (event.type === "pointerup") drop(...moved(event));
      else lay();
    };
    handle.addEventListener("pointermove", follow);
    for (const name of ["pointerup", "pointercancel"]) handle.addEventListener(name, end, { once: true });
  });
}

/** The nearest of the nine places, where the picture is `dx`, `dy` away from its own. */
function nearest(dx, dy) {
  const place = placeOf(sent.anchor);
  return place.map((now, axis) => {
    const room = (sent.canvas[axis] - sent.picture[axis]) * scale;
    return room < 1 ? now : limited(Math.round(now + 2 * [dx, dy][axis] / room), 0, 2);
  });
}

drag(picture, (dx, dy) => {
  picture.style.translate = `${dx}px ${dy}px`;
}, (dx, dy) => {
  picture.style.translate = "";
  choose(anchorOf(nearest(dx, dy)), sent.canvas);
});

drag(corner, (dx, dy) => lay(chosenSize(dx / scale, dy / scale)),
  (dx, dy) => choose(sent.anchor, chosenSize(dx / scale, dy / scale)));

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

frame.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  if (!arrow || !sent) return;
  event.preventDefault();
  if (event.target === corner) {
    choose(sent.anchor, chosenSize(STEP * arrow[0], STEP * arrow[1]));
  } else {
    choose(anchorOf(placeOf(sent.anchor).map((now, axis) => limited(now + arrow[axis], 0, 2))), sent.canvas);
  }
});

watch("value", show);
show();
