// The player of one video: single pictures and a loop. The keys belong to the player alone, while it has the focus.
// Everything is looked up when it is needed, because the page brings the player when the video is ready.

import { frameOf, step } from "./frame-step.js";

const inside = (node) => node.closest?.("[data-player]");

function show(player) {
  const video = player.querySelector("video");
  const said = player.querySelector("[data-frame-of]");
  const fps = Number(player.dataset.fps);
  if (!video.duration) return;
  const all = Math.max(1, Math.round(video.duration * fps));
  const now = Math.min(all, frameOf(video, fps) + 1);
  said.textContent = said.dataset.words.replace("%s", now).replace("%s", all);
}

function loop(player) {
  const video = player.querySelector("video");
  video.loop = !video.loop;
  player.querySelector("[data-loop]").setAttribute("aria-pressed", String(video.loop));
}

document.addEventListener("click", ({ target }) => {
  const player = inside(target);
  if (!player) return;
  const stepper = target.closest("[data-step]");
  if (stepper) step(player.querySelector("video"), Number(player.dataset.fps), Number(stepper.dataset.step));
  else if (target.closest("[data-loop]")) loop(player);
});

document.addEventListener("keydown", (event) => {
  const player = inside(event.target);
  if (!player || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (key === "," || key === ".") step(player.querySelector("video"), Number(player.dataset.fps), key === "." ? 1 : -1);
  else if (key === "l") loop(player);
  else return;
  event.preventDefault();
});

for (const name of ["timeupdate", "seeked", "loadedmetadata"]) {
  // These do not bubble; on their way down they can be caught.
  document.addEventListener(name, ({ target }) => { const player = inside(target); if (player) show(player); }, true);
}

function reveal() {
  for (const player of document.querySelectorAll("[data-player]")) show(player);
}
document.addEventListener("htmx:load", reveal);
reveal();

// The price of what is ticked, on the button that pays it.
document.addEventListener("change", ({ target }) => {
  const form = target.closest?.("form[data-total]");
  if (!form) return;
  const prices = [...form.querySelectorAll("[data-price]:checked")].map((box) => Number(box.dataset.price));
  const sum = form.querySelector("[data-sum]");
  sum.textContent = sum.dataset.words.replace("%s", prices.reduce((a, b) => a + b, 0));
  form.querySelector('[type="submit"]').disabled = !prices.length;
});
