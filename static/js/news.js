// News: what ended while you looked elsewhere. The bell counts, a hidden tab says it in its title, and who chose so in
// this browser hears a sound and gets a notification. What is before your eyes already is told nowhere else.

const bell = document.querySelector("[data-news]");
const stack = document.getElementById("news");
const SOON = 5_000; // milliseconds between two questions while something is in the making
const LATER = 60_000; // and while nothing is
const MOST = 3; // notes on the page at a time
const LOOKING = "portal-looking"; // the lock that every tab holds that somebody sees

const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private window */ } };
const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };

// Tabs of one browser share what was told, so that one of them tells.
let mine = Number(bell.dataset.last);
const told = () => Math.max(mine, Number(kept("news-told") ?? 0));
const tell = (id) => { mine = Math.max(told(), id); keep("news-told", mine); };
if (kept("news-told") === null) tell(mine);
else mine = 0;

// --- who is looking

let letGo = null;
function look() {
  letGo?.();
  letGo = null;
  if (document.hidden) return;
  document.title = title;
  missed = 0;
  navigator.locks?.request(LOOKING, { mode: "shared" }, () => new Promise((done) => { letGo = done; }));
}

async function somebodyLooks() {
  if (!document.hidden) return true;
  const locks = await navigator.locks?.query();
  return Boolean(locks?.held.some(({ name }) => name === LOOKING));
}

// --- telling

const title = document.title;
let missed = 0;

function count(unread) {
  const badge = bell.querySelector(".bell-count");
  badge.hidden = !unread.length;
  badge.textContent = unread.length > 99 ? "99+" : unread.length;
  bell.ariaLabel = unread.length ? bell.dataset.some.replace("#", unread.length) : bell.dataset.none;
}

const isHere = ({ link }) => link && (location.pathname === link || document.querySelector(`main a[href="${CSS.escape(link)}"]`));

async function markSeen(news) {
  const body = new URLSearchParams(news.map(({ id }) => ["ids", id]));
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  const answer = await fetch(bell.dataset.seen, { method: "POST", body, headers: { "X-CSRFToken": token } });
  if (answer.ok) count((await answer.json()).unread);
}

function note({ id, kind, text, link }) {
  const shown = document.getElementById("news-note").content.cloneNode(true).firstElementChild;
  const line = shown.querySelector("a");
  line.textContent = text;
  line.href = link || bell.href;
  shown.dataset.kind = kind;
  shown.dataset.id = id;
  stack.append(shown);
  while (stack.children.length > MOST) stack.firstElementChild.remove();
}

const ring = () => new Audio(bell.dataset.sound).play().catch(() => { /* the browser wants a click on this page first */ });

function notification(text, tag, link) {
  if (kept("news-window") !== "1" || globalThis.Notification?.permission !== "granted") return;
  try {
    const shown = new Notification(text, { tag, icon: bell.dataset.icon, lang: document.documentElement.lang });
    shown.addEventListener("click", () => { window.focus(); shown.close(); if (link) location.assign(link); });
  } catch { /* phones have notifications for installed pages only */ }
}

async function announce(news) {
  if (!news.length) return;
  const looked = await somebodyLooks();
  if (document.hidden && looked) return; // the tab that is seen tells it
  const fresh = news.filter(({ id }) => id > told()).reverse();
  if (!fresh.length) return;
  tell(fresh.at(-1).id);
  const elsewhere = document.hidden ? fresh : fresh.filter((each) => !isHere(each));
  if (kept("news-sound") === "1" && elsewhere.length) ring();
  if (!document.hidden) {
    if (elsewhere.length < fresh.length) markSeen(fresh.filter(isHere));
    elsewhere.slice(-MOST).forEach(note);
    return;
  }
  missed += fresh.length;
  document.title = `(${missed}) ${fresh.at(-1).text}`;
  for (const { id, text, link } of fresh.slice(-MOST)) notification(text, `notice-${id}`, link);
  fresh.slice(-MOST).forEach(note);
}

// --- asking

let next = 0;
async function ask() {
  clearTimeout(next);
  let pause = LATER;
  try {
    const answer = await fetch(`${bell.dataset.news}?after=${told()}`, { headers: { Accept: "application/json" } });
    const { unread, open, news } = await answer.json();
    count(unread);
    if (open) pause = SOON;
    await announce(news);
  } catch { /* no line: asked again later, and nothing is lost */ }
  next = setTimeout(ask, pause);
}

document.addEventListener("visibilitychange", () => { look(); if (!document.hidden) ask(); });
look();
ask();

// --- what this browser does: the account page

const choices = document.querySelector("[data-tell]");
if (choices) {
  const sound = choices.querySelector("[data-tell-sound]");
  const windowed = choices.querySelector("[data-tell-window]");
  const refused = choices.querySelector("[data-tell-refused]");
  const allowed = () => globalThis.Notification?.permission === "granted";
  sound.checked = kept("news-sound") === "1";
  windowed.checked = kept("news-window") === "1" && allowed();
  choices.hidden = false;
  sound.addEventListener("change", () => { keep("news-sound", sound.checked ? "1" : "0"); if (sound.checked) ring(); });
  windowed.addEventListener("change", async () => {
    const answer = windowed.checked ? await globalThis.Notification?.requestPermission() : "";
    windowed.checked = answer === "granted";
    refused.hidden = answer === "" || answer === "granted";
    keep("news-window", windowed.checked ? "1" : "0");
    if (windowed.checked) notification(windowed.dataset.sample, "sample", "");
  });
}
