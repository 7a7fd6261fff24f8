// The compare wall: several videos with one clock. The longest one keeps the time, the others follow it.

import { step } from "./frame-step.js";

const MOST_APART = 0.08; // seconds: two pictures of 24 a second

const wall = document.querySelector("[data-wall]");
const find = (selector) => wall.querySelector(selector);
const [play, seek, time, looping] = ["[data-play]", "[data-seek]", "[data-time]", "[data-loop]"].map(find);
const pauseLabel = play.dataset.pause;
const playLabel = play.getAttribute("aria-label");
let playing = false;

const videos = () => [...wall.querySelectorAll("video")];
const leader = () => videos().reduce((a, b) => ((b.duration || 0) > (a?.duration || 0) ? b : a), null);

function show() {
  const lead = leader();
  if (!lead) return;
  if (lead.duration) seek.max = lead.duration;
  if (document.activeElement !== seek || playing) seek.value = lead.currentTime;
  const minutes = Math.floor(lead.currentTime / 60);
  time.textContent = `${minutes}:${(lead.currentTime % 60).toFixed(1).padStart(4, "0")}`;
  find('[data-when="paused"]').hidden = playing;
  find('[data-when="playing"]').hidden = !playing;
  play.setAttribute("aria-label", playing ? pauseLabel : playLabel);
}

function moveTo(second) {
  for (const video of videos()) video.currentTime = Math.min(second, video.duration || second);
}

function start() {
  const lead = leader();
  if (!lead) return;
  if (lead.ended || lead.currentTime >= (lead.duration || Infinity) - 0.05) moveTo(0);
  playing = true;
  for (const video of videos()) {
    video.currentTime = Math.min(lead.currentTime, video.duration || Infinity);
    if (!video.duration || video.currentTime < video.duration) video.play().catch(() => {});
  }
  requestAnimationFrame(follow);
  show();
}

function stop() {
  playing = false;
  const lead = leader();
  for (const video of videos()) video.pause();
  if (lead) moveTo(lead.currentTime);
  show();
}

// Between two pictures of the screen: whoever strays is brought back, whoever is at its end waits there.
function follow() {
  if (!playing) return;
  const lead = leader();
  if (!lead || lead.ended) {
    if (!lead || looping.getAttribute("aria-pressed") !== "true") { stop(); return; }
    moveTo(0);
    start();
    return;
  }
  for (const video of videos()) {
    if (video === lead || video.seeking || lead.currentTime >= video.duration) continue;
    if (Math.abs(video.currentTime - lead.currentTime) > MOST_APART) video.currentTime = lead.currentTime;
    if (video.paused) video.play().catch(() => {});
  }
  show();
  requestAnimationFrame(follow);
}

function stepAll(by) {
  if (playing) stop();
  const lead = leader();
  if (!lead) return;
  step(lead, Number(lead.dataset.fps), by);
  moveTo(lead.currentTime);
  show();
}

const toggle = () => (playing ? stop() : start());
play.addEventListener("click", toggle);
seek.addEventListener("input", () => { if (playing) stop(); moveTo(Number(seek.value)); show(); });
looping.addEventListener("click", () => {
  looping.setAttribute("aria-pressed", String(looping.getAttribute("aria-pressed") !== "true"));
});
wall.addEventListener("click", ({ target }) => {
  const stepper = target.closest("[data-step]");
  if (stepper) stepAll(Number(stepper.dataset.step));
  else if (target.matches("video")) toggle();
});
wall.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === ",") stepAll(-1);
  else if (event.key === ".") stepAll(1);
  else if (event.key === "k") toggle();
  else return;
  event.preventDefault();
});
wall.addEventListener("loadedmetadata", show, true);
wall.addEventListener("seeked", show, true);

// The bar is there as soon as there is something to play; videos that are ready later join at the others' place.
function reveal() {
  find(".wall-bar").hidden = !videos().length;
  show();
}
document.addEventListener("htmx:load", reveal);
reveal();
