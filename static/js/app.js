// What every page needs: theme buttons, notes that close, copy buttons, dialogs, forms that are sent once, and
// live progress: htmx asks for all open videos of a page at once; this file only paces and decorates that.

const stored = () => { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } };

function showTheme() {
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === stored()));
  }
}

function chooseTheme(choice) {
  try { localStorage.setItem("theme", choice); } catch { /* private window: the choice lasts for this page */ }
  window.applyTheme();
  showTheme();
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const text = source.value ?? source.textContent.trim();
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https there is no clipboard API: select, so that the keyboard can copy.
    if (source.select) source.select();
    else getSelection().selectAllChildren(source);
    return;
  }
  const label = button.querySelector("[data-copy-label]") || button;
  const before = label.textContent;
  label.textContent = button.dataset.copied;
  setTimeout(() => { label.textContent = before; }, 1800);
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-theme-choice], [data-dismiss-note], [data-copy], [data-open-dialog], [data-close-dialog]");
  if (!target) return;
  const data = target.dataset;
  if (data.themeChoice) chooseTheme(data.themeChoice);
  else if ("dismissNote" in data) target.closest(".note").remove();
  else if (data.copy) copy(target);
  else if (data.openDialog) document.getElementById(data.openDialog).showModal();
  else if ("closeDialog" in data) target.closest("dialog").close();
});

// An answer to a form that shows a secret has the address of what it is about: loading it again sends nothing again.
const here = document.querySelector("[data-address]");
if (here) history.replaceState(null, "", here.dataset.address);

// --- the line to the platform: where it is lost the page says so, keeps what it has, and goes on when it is back

const line = document.getElementById("line");
function sayLost(lost) { line.textContent = lost ? line.dataset.lost : ""; }

window.addEventListener("offline", () => sayLost(true));
window.addEventListener("online", () => sayLost(false));
document.addEventListener("htmx:sendError", () => sayLost(true));
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.successful) sayLost(false);
  else if (detail.xhr.status === 503) sayLost(true);
});
// A browser without a line would leave the page for one of its own.
document.addEventListener("submit", (event) => {
  if (navigator.onLine || event.defaultPrevented) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  sayLost(true);
});

// A form is sent once: the button shows that it is on its way until the next page is there.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "1";
  event.submitter?.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
});

// What a page that comes back from the browser's cache makes next is a new one.
window.addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  for (const nonce of document.querySelectorAll("input[name=nonce]")) {
    const bytes = [...crypto.getRandomValues(new Uint8Array(16))];
    nonce.value = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }
});

// What somebody opened or closed stays so when a part of the page renews itself. A click, because “toggle” is
// also said of what the renewed part brought along.
const folds = new Map();
document.addEventListener("click", ({ target }) => {
  const fold = target.closest("details[id] > summary")?.parentElement;
  if (fold) folds.set(fold.id, !fold.open);
});
document.addEventListener("htmx:load", ({ detail }) => {
  for (const fold of detail.elt.querySelectorAll("details[id]")) fold.open = folds.get(fold.id) ?? fold.open;
});

// The page says what the server refused, instead of htmx's silence.
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 401 || event.detail.xhr.status === 403) location.reload();
});

// --- live progress

const SLOW = 15_000; // milliseconds between questions of a tab that nobody sees
const MOST = 100; // ids in one question, as the server takes them
const last = new WeakMap();

// The library has one watcher for all its cards, and asks nothing when none of them is open.
document.addEventListener("htmx:configRequest", (event) => {
  if (!event.target.matches?.("[data-watch-open]")) return;
  const open = [...document.querySelectorAll("[data-open]")].slice(0, MOST).map((card) => card.id.slice(2));
  if (open.length) event.detail.parameters.ids = open.join();
  else event.preventDefault();
});

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

// Who tells of news comes when the page has settled: there is nothing to tell before.
const SETTLED = 5_000; // milliseconds
const bell = document.querySelector("[data-news]");
if (bell) setTimeout(() => import(bell.dataset.script), SETTLED);

showTheme();
