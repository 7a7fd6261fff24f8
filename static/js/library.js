// The library: marks, favourites, keys, a search that sends itself, and a place that is kept on Back.

const sheet = document.getElementById("sheet");
const many = document.getElementById("many");
const sift = document.getElementById("sift");
const count = many?.querySelector("[data-many-count]");
const boxes = () => [...sheet.querySelectorAll('[name="ids"]')];
const cardOf = (element) => element?.closest?.("#sheet > li");

// --- search and filters: each choice sends the form; what is empty stays out of the address

sift?.addEventListener("change", (event) => { if (event.target.type !== "search") sift.requestSubmit(); });
sift?.addEventListener("search", () => sift.requestSubmit());
sift?.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value) formData.delete(name);
});

// --- marks

const marked = new Set();
let comingBack = false;
let lastMarked = null;

function showMarks() {
  count.textContent = marked.size === 1 ? count.dataset.one : count.dataset.more.replace("#", marked.size);
  many.classList.toggle("on", marked.size > 0);
  sheet.classList.toggle("marking", marked.size > 0);
}

function mark(box, on) {
  box.checked = on;
  if (on) marked.add(box.value);
  else marked.delete(box.value);
}

function unmark() {
  for (const box of boxes()) mark(box, false);
  marked.clear();
  showMarks();
}

// Shift marks everything from the last one to this one.
function markTo(box, shift) {
  const all = boxes();
  const from = all.indexOf(lastMarked);
  const to = all.indexOf(box);
  const range = shift && from >= 0 ? all.slice(Math.min(from, to), Math.max(from, to) + 1) : [box];
  for (const each of range) mark(each, box.checked);
  lastMarked = box;
  showMarks();
}

sheet?.addEventListener("pointerdown", () => { column = null; });
sheet?.addEventListener("click", (event) => { if (event.target.name === "ids") markTo(event.target, event.shiftKey); });
many?.querySelector("[data-unmark]").addEventListener("click", unmark);
many?.addEventListener("submit", (event) => {
  many.querySelector("[data-here]").value = location.pathname + location.search;
  // A download leaves the page where it is; all else comes back to it.
  if (event.submitter?.matches("[data-zip]")) setTimeout(unmark);
  else comingBack = true;
});
// Enter in a dialog's field is its own button, not the form's first one.
for (const id of ["id_name", "id_tags"]) {
  document.getElementById(id)?.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    event.target.closest("dialog").querySelector('[type="submit"]').click();
  });
}

// --- favourites: shown at once, taken back if the server did not hear it

async function like(form) {
  const button = form.querySelector("button");
  const on = button.value === "1";
  const show = (liked) => {
    button.setAttribute("aria-pressed", String(liked));
    button.value = liked ? "0" : "1";
  };
  const body = new FormData(form, button);
  show(on);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
  } catch {
    show(!on);
    tell(count.dataset.broken);
  }
}

function tell(text) {
  const note = document.createElement("p");
  note.className = "note note-danger";
  note.textContent = text;
  document.getElementById("notes").replaceChildren(note);
}

sheet?.addEventListener("submit", (event) => {
  if (!event.target.matches(".shot-like")) return;
  event.preventDefault();
  like(event.target);
});

// --- keys

const keysOff = document.querySelector("[data-keys-off]");
const remembered = () => { try { return localStorage.getItem("keys") === "off"; } catch { return false; } };
keysOff.checked = remembered();
keysOff.addEventListener("change", () => {
  try { localStorage.setItem("keys", keysOff.checked ? "off" : "on"); } catch { /* lasts for this page */ }
});

// Where the eye is while one goes up and down: rows are ragged, and a way down should lead back up.
let column = null;

const middle = (card) => { const box = card.getBoundingClientRect(); return box.left + box.width / 2; };

// The card above or below: in the next row that way, the one nearest to the column.
function inRow(card, step) {
  column ??= middle(card);
  const all = [...sheet.querySelectorAll(":scope > [id]")];
  const top = (each) => Math.round(each.getBoundingClientRect().top);
  const here = top(card);
  const beyond = all.filter((each) => (top(each) - here) * step > 4);
  const row = step * Math.min(...beyond.map((each) => top(each) * step));
  const away = (each) => Math.abs(middle(each) - column);
  return beyond.filter((each) => Math.abs(top(each) - row) <= 4).sort((a, b) => away(a) - away(b))[0];
}

const neighbours = {
  ArrowRight: (card) => { column = null; return card.nextElementSibling; },
  ArrowLeft: (card) => { column = null; return card.previousElementSibling; },
  ArrowDown: (card) => inRow(card, 1),
  ArrowUp: (card) => inRow(card, -1),
};

function submitFor(card, button) {
  if (!marked.size) mark(card.querySelector('[name="ids"]'), true);
  many.requestSubmit(button);
}

const onCard = {
  " ": (card) => { const box = card.querySelector('[name="ids"]'); box.checked = !box.checked; markTo(box, false); },
  f: (card) => like(card.querySelector(".shot-like")),
  d: (card) => {
    if (marked.size) many.requestSubmit(many.querySelector("[data-zip]"));
    else if (card.querySelector("[data-hover-video]")) location.assign(`${card.querySelector("[data-hover-video]").dataset.hoverVideo}?download=1`);
  },
  Delete: (card) => submitFor(card, many.querySelector('[value="delete"]')),
};

const anywhere = {
  "/": () => document.getElementById("id_q")?.focus(),
  "?": () => document.getElementById("keys-help").showModal(),
};

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  const typing = target.matches?.("textarea, select, input:not([type=checkbox])") || target.closest?.("dialog, [popover]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (key === "Escape" && marked.size) { unmark(); return; }
  const card = cardOf(target);
  const step = neighbours[key];
  if (step && sheet) {
    const next = card ? step(card) : target === document.body && /Right|Down/.test(key) && sheet.firstElementChild;
    const link = next && next.querySelector(".shot-link, .more a");
    if (!link || (!card && key === "ArrowDown")) return;
    event.preventDefault();
    link.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
    return;
  }
  if (keysOff.checked) return;
  const does = card && !target.matches("button, input") ? onCard[key.length === 1 ? key.toLowerCase() : key] : null;
  if (!does && !anywhere[key]) return;
  event.preventDefault();
  if (does) does(card);
  else anywhere[key]();
});

// --- the end comes nearer: the address learns how far the page reaches, so that Back and reload bring it all

const firstLength = sheet ? sheet.querySelectorAll(":scope > [id]").length : 0;

document.addEventListener("htmx:afterSettle", () => {
  if (!sheet) return;
  for (const box of boxes()) box.checked = marked.has(box.value);
  const shown = [...sheet.querySelectorAll(":scope > [id]")];
  const end = shown.at(-1)?.id.slice(2);
  if (!end || shown.length <= firstLength) return;
  const address = new URL(location.href);
  if (address.searchParams.get("until") === end) return;
  address.searchParams.set("until", end);
  history.replaceState(history.state, "", address);
});

const PLACE = "library-place";
history.scrollRestoration = "manual";

function keepPlace() {
  const card = sheet && [...sheet.querySelectorAll(":scope > [id]")].find((each) => each.getBoundingClientRect().bottom > 80);
  const place = card && scrollY > 0 ? { at: location.href, id: card.id, top: card.getBoundingClientRect().top, comingBack } : null;
  try { sessionStorage.setItem(PLACE, JSON.stringify(place)); } catch { /* then Back begins at the top */ }
}

function findPlace() {
  let place = null;
  try { place = JSON.parse(sessionStorage.getItem(PLACE)); } catch { /* none */ }
  const type = performance.getEntriesByType("navigation")[0]?.type;
  if (!place || place.at !== location.href || (type === "navigate" && !place.comingBack)) return;
  const card = document.getElementById(place.id);
  if (card) scrollBy({ top: card.getBoundingClientRect().top - place.top, behavior: "instant" });
}

window.addEventListener("pagehide", keepPlace);
findPlace();

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
