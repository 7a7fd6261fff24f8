// The composer: the catalogue's rules explained while one chooses, the price on the button, one single sending.

import { Draft } from "./drafts.js";
import { act, frames } from "./frames.js";

const form = document.getElementById("composer");
const { rules, left, texts } = JSON.parse(document.getElementById("composer-data").textContent);
const prompt = form.elements.prompt;
const submit = form.querySelector('[type="submit"]');
const say = (text, ...values) => values.reduce((said, value) => said.replace("%s", value), text);

if (/Mac|iP/.test(navigator.platform)) form.querySelector("[data-mod]").textContent = "⌘";

const chosen = (name) => form.elements[name].value;
const model = () => rules.models.find((candidate) => candidate.name === chosen("model")) ?? rules.models[0];
const zones = frames(form, texts, changed, () => chosen("size"));
// A page that was asked for something (an idea, an earlier video, a refused form) shows that, not the draft.
const draft = new Draft(form, zones, `draft-${form.dataset.whose}`, (what) => {
  form.querySelector("[data-unkept]").textContent = texts[what] ?? "";
});

function changed() {
  update();
  draft.soon();
}

// Why a choice is as it is, and the way out where there is one.
function why(name, text = "", offer = null) {
  const place = form.querySelector(`[data-why="${name}"]`);
  if (place.dataset.said === text + (offer?.label ?? "")) return;
  place.dataset.said = text + (offer?.label ?? "");
  place.replaceChildren(text);
  if (offer) place.append(" ", act(offer));
}

function choose(name, value) {
  [...form.elements[name]].find((radio) => radio.value === value).checked = true;
  changed();
}

const switchTo = (other, then = () => {}) => ({
  label: say(texts.switchTo, other.label),
  run: () => { choose("model", other.name); then(); },
});

// Allow only these values of a choice; a value that is no longer allowed moves to the first that is.
function allow(name, values) {
  const radios = [...form.elements[name]];
  for (const radio of radios) radio.disabled = !values.includes(radio.value);
  if (radios.some((radio) => radio.checked && !radio.disabled)) return;
  radios.find((radio) => radio.value === values[0]).checked = true;
}

// Which modes can do what is wanted; the cheapest stands first, as the server takes it.
function modesFor({ last, sound }) {
  return model().modes.filter((mode) => (!sound || mode.sound) && (!last || mode.last_frame));
}

function update() {
  const current = model();
  const last = zones.last.filled;
  allow("seconds", current.seconds.map(String));
  allow("size", current.sizes);

  const soundPossible = !last && current.modes.some((mode) => mode.sound);
  allow("sound", soundPossible ? ["", "on"] : [""]);
  const sound = chosen("sound") === "on";
  const withSound = rules.models.filter((candidate) => candidate.modes.some((mode) => mode.sound));
  if (soundPossible) why("sound");
  else if (last && withSound.includes(current)) {
    why("sound", texts.soundOrLast, { label: texts.removeLast, run: () => zones.last.clear() });
  } else {
    const offer = !last && withSound.length ? switchTo(withSound[0], () => choose("sound", "on")) : null;
    why("sound", say(texts.noSound, withSound.map((candidate) => candidate.label).join(", ")), offer);
  }

  const able = modesFor({ last, sound });
  const before = current.modes.find((mode) => mode.name === chosen("mode"));
  allow("mode", (able.length ? able : current.modes).map((mode) => mode.name));
  if (able.length && before && !able.includes(before)) {
    why("mode", say(sound ? texts.modeForSound : texts.modeForLast, able[0].resolution));
  } else if (current.modes.length === 1) {
    why("mode", say(texts.onlyOther, current.label, current.modes[0].resolution));
  } else if (!last && !sound) {
    why("mode");
  }

  const withLast = rules.models.filter((candidate) => candidate.modes.some((mode) => mode.last_frame));
  const noLast = last && !able.length;
  const movable = last && !zones.first.filled && zones.last.input.files[0];
  if (last && !zones.first.filled) {
    why("frames", texts.firstMissing, movable && { label: texts.moveToFirst, run: () => { zones.last.clear(); zones.first.put(movable); } });
  } else if (noLast) {
    why("frames", say(texts.noLast, withLast.map((candidate) => candidate.label).join(", ")), withLast.length ? switchTo(withLast[0]) : null);
  } else {
    why("frames");
  }
  why("size", zones.first.filled ? texts.ratioFromPicture : "");
  showPrice(current, sound);
  askHowLong();
}

// Asked once for what is chosen, a moment after the last click.
let asked = "";
let asking = 0;

function askHowLong() {
  const query = new URLSearchParams({ model: chosen("model"), mode: chosen("mode"), seconds: chosen("seconds") }).toString();
  if (query === asked) return;
  asked = query;
  clearTimeout(asking);
  asking = setTimeout(async () => {
    const place = form.querySelector("[data-eta]");
    const answer = await fetch(`${place.dataset.eta}?${query}`).catch(() => null);
    const text = answer?.ok && !answer.redirected ? (await answer.text()).trim() : "";
    if (query === asked) place.textContent = text;
  }, 150);
}

function showPrice(current, sound) {
  const mode = current.modes.find((candidate) => candidate.name === chosen("mode")) ?? current.modes[0];
  const perSecond = sound ? mode.credits_per_second_with_sound : mode.credits_per_second;
  const price = perSecond * Number(chosen("seconds"));
  form.querySelector("[data-price]").textContent = say(texts.price, price);
  const line = form.querySelector("[data-after]");
  const short = left !== null && price > left;
  line.textContent = left === null ? texts.noQuota : short ? say(texts.short, price - left) : say(texts.after, left - price);
  line.parentElement.classList.toggle("short", short || left === null);
  const ask = form.querySelector("[data-ask]");
  ask.hidden = left !== null && !short;
  if (short) ask.href = ask.href.replace(/ask=\d+/, `ask=${price - left}`);
}

function count() {
  const place = form.querySelector("[data-count]");
  const length = [...prompt.value].length;
  place.textContent = length ? `${length} / ${rules.prompt_characters}` : "";
  place.classList.toggle("over", length > rules.prompt_characters);
}

// A refusal that can be put right ends with the address where: that becomes a button.
function sayWithWayOut(place, text) {
  const [, words, address] = text.match(/^(.*) (https?:\/\/\S+)$/s) ?? [null, text, null];
  place.textContent = words;
  if (!address) return;
  const link = document.createElement("a");
  link.className = "btn btn-line btn-sm";
  link.href = new URL(address).href.replace(new URL(address).origin, "");
  link.textContent = address.includes("?ask=") ? texts.askMore : texts.askFirst;
  place.append(" ", link);
}

function showErrors(errors) {
  for (const list of form.querySelectorAll(".errors")) list.replaceChildren();
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  const general = document.getElementById("err_form");
  general.hidden = true;
  let first = null;
  for (const [name, messages] of Object.entries(errors)) {
    const list = document.getElementById(`err_${name}`);
    if (!list) {
      general.hidden = false;
      sayWithWayOut(general.querySelector("p"), messages.join(" "));
      first ??= general;
      continue;
    }
    for (const message of messages) {
      const item = document.createElement("li");
      item.textContent = message;
      list.append(item);
    }
    const field = form.elements[name];
    if (field instanceof HTMLElement) field.setAttribute("aria-invalid", "true");
    first ??= list;
  }
  form.querySelector(".say").classList.toggle("bad", "prompt" in errors);
  if (errors.prompt) prompt.focus();
  first?.scrollIntoView({ block: "center", behavior: "smooth" });
}

let sending = false;
let onItsWay = null;
// Without a line an upload would hang for minutes before it fails.
window.addEventListener("offline", () => onItsWay?.abort());

async function send() {
  window.removeEventListener("online", send);
  if (sending) return;
  if (!prompt.value.trim()) {
    showErrors({ prompt: [texts.empty] });
    return;
  }
  sending = true;
  showErrors({});
  submit.setAttribute("aria-busy", "true");
  onItsWay = new AbortController();
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { Accept: "application/json" },
      redirect: "manual",
      signal: onItsWay.signal,
    });
    if (answer.type === "opaqueredirect") { signedOut(); return; }
    const data = await answer.json();
    if (data.to) {
      await draft.end();
      location.assign(data.to);
      return; // stays busy until the next page is there
    }
    showErrors(data.errors);
  } catch {
    brokenOff();
  }
  ready();
}

function ready() {
  submit.removeAttribute("aria-busy");
  sending = false;
}

function refuse(text, offer) {
  showErrors({ __all__: [text] });
  document.querySelector("#err_form p").append(" ", act(offer));
}

// Whether it arrived nobody knows. The form's nonce makes a second sending of the same harmless, so it goes by itself
// when the line is back; not once somebody has changed something: they say when they are done.
function brokenOff() {
  refuse(navigator.onLine ? texts.broken : texts.offline, { label: texts.again, run: send });
  window.addEventListener("online", send, { once: true });
}
form.addEventListener("input", () => {
  window.removeEventListener("online", send);
  const said = document.querySelector("#err_form p").firstChild;
  if (said?.textContent === texts.offline) said.textContent = texts.broken;
});

function signedOut() {
  refuse(texts.signedOut, { label: texts.signIn, run: () => location.assign(`/signin?next=${form.getAttribute("action")}`) });
  ready();
}

form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
form.addEventListener("change", update);
prompt.addEventListener("input", count);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); }
});
document.querySelector(".compose").addEventListener("click", (event) => {
  if (event.target.closest("[data-keep-words]")) keepWords();
  const move = event.target.closest("[data-move]");
  if (!move) return;
  const text = prompt.value.trimEnd();
  const gap = !text ? "" : /[。！？]$/.test(text) ? "" : /[.!?]$/.test(text) ? " " : /[\u4e00-\u9fff]$/.test(text) ? "。" : ". ";
  prompt.value = text + gap + move.dataset.move;
  prompt.focus();
  count();
  draft.soon();
});

// What is marked in the prompt, else all of it, becomes a preset.
function keepWords() {
  const { selectionStart: from, selectionEnd: to } = prompt;
  const place = document.getElementById("id_preset_text");
  place.value = (from < to ? prompt.value.slice(from, to) : prompt.value).trim().slice(0, place.maxLength);
  document.getElementById("preset-dialog").showModal();
  document.getElementById("id_preset_name").focus();
}

document.addEventListener("htmx:afterRequest", ({ target, detail }) => {
  if (target.id !== "preset-form" || !detail.successful) return;
  if (!document.querySelector("#preset-list .errors li")) { target.reset(); document.getElementById("preset-dialog").close(); }
});
// A page that comes back from the browser's cache must not stay locked.
window.addEventListener("pageshow", ready);

if (form.dataset.draft && draft.restore()) {
  const note = document.getElementById("draft-note");
  note.hidden = false;
  form.querySelector("[data-advice]").hidden = true; // in its place, so that nothing below moves
  note.querySelector("button").addEventListener("click", async () => { await draft.end(); location.reload(); });
}
update();
count();
