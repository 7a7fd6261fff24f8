// Live progress: htmx asks for all open videos of a page at once; this file only paces and decorates that.

const SLOW = 15_000; // milliseconds between questions of a tab that nobody sees
const last = new WeakMap();

// Runs before every request of a watcher. In a hidden tab most of them are dropped here.
document.addEventListener("htmx:beforeRequest", (event) => {
  const watcher = event.target.closest?.("[data-watch]");
  if (!watcher) return;
  const now = performance.now();
  if (document.hidden && now - (last.get(watcher) ?? -SLOW) < SLOW) {
    event.preventDefault();
    return;
  }
  last.set(watcher, now);
});

// Elapsed time runs between the answers, too.
function tick() {
  for (const clock of document.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(clock.dataset.since)) / 1000));
    const hours = Math.floor(seconds / 3600);
    const minutes = Math.floor(seconds / 60) % 60;
    const rest = String(seconds % 60).padStart(2, "0");
    clock.textContent = hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  }
}
setInterval(tick, 1000);

// A card plays, silently, as long as the pointer rests on it.
if (matchMedia("(hover: hover) and (prefers-reduced-motion: no-preference)").matches) {
  let waiting = 0;
  document.addEventListener("pointerover", (event) => {
    const shot = event.target.closest?.(".shot");
    if (!shot || shot.contains(event.relatedTarget)) return;
    const media = shot.querySelector("[data-hover-video]");
    if (!media) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const video = document.createElement("video");
      Object.assign(video, { src: media.dataset.hoverVideo, muted: true, loop: true, playsInline: true });
      video.setAttribute("aria-hidden", "true");
      video.tabIndex = -1;
      video.addEventListener("playing", () => media.querySelector("img").after(video), { once: true });
      video.play().catch(() => video.remove());
      shot.addEventListener("pointerleave", () => { video.pause(); video.removeAttribute("src"); video.remove(); }, { once: true });
    }, 180);
    shot.addEventListener("pointerleave", () => clearTimeout(waiting), { once: true });
  });
}
