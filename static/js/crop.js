// Cut a picture to a ratio, in the browser: drag, wheel or keys choose the part; a new file comes out.

const LEAST_SIDE = 300; // pixels, Kling's limit for a side
const STEP = 0.02; // of the visible part, for an arrow key
const QUALITY = 0.95;

const dialog = document.getElementById("crop-dialog");
const view = document.getElementById("crop-view");
const zoom = document.getElementById("crop-zoom");
const size = document.getElementById("crop-size");
const ratios = [...document.querySelectorAll("#crop-ratios button")];

let picture = null; // ImageBitmap
let ratio = 1;
let centre = { x: 0, y: 0 }; // in the picture's pixels
let finish = null;

const clamp = (value, least, most) => Math.min(Math.max(value, least), Math.max(least, most));

// The part that is kept, in the picture's pixels: the largest of this ratio, made smaller by the zoom.
function part() {
  const whole = Math.min(picture.width, picture.height * ratio);
  const least = Math.min(whole, LEAST_SIDE * Math.max(1, ratio));
  const width = Math.round(whole - (whole - least) * (zoom.value / 100));
  const height = Math.round(width / ratio);
  centre.x = clamp(centre.x, width / 2, picture.width - width / 2);
  centre.y = clamp(centre.y, height / 2, picture.height - height / 2);
  return { x: Math.round(centre.x - width / 2), y: Math.round(centre.y - height / 2), width, height };
}

function draw(canvas, { x, y, width, height }, most) {
  const scale = Math.min(1, most / Math.max(width, height));
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext("2d").drawImage(picture, x, y, width, height, 0, 0, canvas.width, canvas.height);
}

function show() {
  const kept = part();
  draw(view, kept, 960);
  size.textContent = `${kept.width} × ${kept.height}`;
  for (const button of ratios) button.setAttribute("aria-pressed", String(number(button.dataset.ratio) === ratio));
}

const number = (text) => { const [across, down] = text.split(":").map(Number); return across / down; };

function move(x, y) {
  centre = { x: centre.x + x, y: centre.y + y };
  show();
}

zoom.addEventListener("input", show);
for (const button of ratios) button.addEventListener("click", () => { ratio = number(button.dataset.ratio); show(); });
view.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom.value = Number(zoom.value) - Math.sign(event.deltaY) * 5;
  show();
}, { passive: false });
view.addEventListener("pointerdown", (event) => view.setPointerCapture(event.pointerId));
view.addEventListener("pointermove", (event) => {
  if (!view.hasPointerCapture(event.pointerId)) return;
  const scale = part().width / view.clientWidth;
  move(-event.movementX * scale, -event.movementY * scale);
});
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
view.addEventListener("keydown", (event) => {
  const arrow = arrows[event.key];
  if (arrow) { event.preventDefault(); move(arrow[0] * part().width * STEP, arrow[1] * part().height * STEP); }
  else if ("+-=".includes(event.key)) { zoom.value = Number(zoom.value) + (event.key === "-" ? -5 : 5); show(); }
});

document.getElementById("crop-done").addEventListener("click", () => {
  const canvas = document.createElement("canvas");
  draw(canvas, part(), Infinity);
  canvas.toBlob((blob) => {
    finish?.(new File([blob], "cropped.jpg", { type: "image/jpeg" }));
    finish = null;
    dialog.close();
  }, "image/jpeg", QUALITY);
});
dialog.addEventListener("close", () => { finish?.(null); finish = null; picture?.close(); picture = null; });

// The file that was cut, or null for one who thought better of it.
export async function crop(file, wanted) {
  picture = await createImageBitmap(file);
  ratio = number(wanted);
  centre = { x: picture.width / 2, y: picture.height / 2 };
  zoom.value = 0;
  dialog.showModal();
  show();
  view.focus();
  return new Promise((done) => { finish = done; });
}
