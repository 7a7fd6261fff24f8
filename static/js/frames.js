// The two picture zones of the composer: drop, paste, pick; checked and cropped before anything is sent.

import { crop } from "./crop.js";
import { choose } from "./stills.js";

const TYPES = ["image/jpeg", "image/png", "image/webp"];
// Kling's limits, as the server checks them again.
const MOST_BYTES = 10 * 1024 * 1024;
const LEAST_SIDE = 300;
const MOST_RATIO = 2.5;

async function fault(file, texts) {
  if (!TYPES.includes(file.type)) return { text: texts.type };
  if (file.size > MOST_BYTES) return { text: texts.bytes };
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return { text: texts.unreadable };
  }
  const { width, height } = picture;
  picture.close();
  const said = `${width} × ${height}`;
  if (Math.min(width, height) < LEAST_SIDE) return { text: texts.small.replace("%s", said) };
  if (Math.max(width, height) > MOST_RATIO * Math.min(width, height)) return { text: texts.narrow.replace("%s", said), crop: true };
  return { size: said };
}

class Frame {
  constructor(element, texts, changed, ratio) {
    this.ratio = ratio; // says which one a crop begins with
    this.element = element;
    this.texts = texts;
    this.changed = changed;
    const find = (selector) => element.querySelector(selector);
    this.box = find(".frame-box");
    this.input = find('input[type="file"]');
    this.url = find('input[type="url"]');
    this.kept = find('input[type="hidden"]');
    this.image = find("[data-preview]");
    this.facts = find("[data-facts]");
    this.remove = find("[data-remove]");
    this.cropper = find("[data-crop]");
    this.errors = document.getElementById(this.input.getAttribute("aria-describedby"));
    this.input.addEventListener("change", () => this.take(this.input.files[0]));
    this.url.addEventListener("input", () => this.changed());
    this.cropper.addEventListener("click", () => this.cut(this.input.files[0]));
    find("[data-library]").addEventListener("click", () => choose(this));
    this.remove.addEventListener("click", () => { this.clear(); this.input.focus(); });
    for (const name of ["dragenter", "dragover"]) this.box.addEventListener(name, () => this.box.classList.add("over"));
    for (const name of ["dragleave", "drop"]) this.box.addEventListener(name, () => this.box.classList.remove("over"));
  }

  get filled() {
    return Boolean(this.input.files.length || this.kept.value || this.url.value.trim());
  }

  async take(file) {
    if (!file) return;
    this.say("");
    const found = await fault(file, this.texts);
    if (found.text) {
      this.clear();
      this.say(found.text, found.crop && { label: this.texts.cropIt, run: () => this.cut(file) });
      return;
    }
    this.kept.value = "";
    this.show(URL.createObjectURL(file), found.size);
  }

  async cut(file) {
    const cropped = await crop(file, this.ratio());
    if (cropped) this.put(cropped);
  }

  // A pasted file goes into the input itself, so that the form carries it like a chosen one.
  put(file) {
    const transfer = new DataTransfer();
    transfer.items.add(file);
    this.input.files = transfer.files;
    this.take(file);
  }

  show(source, size) {
    if (this.image.src.startsWith("blob:")) URL.revokeObjectURL(this.image.src);
    this.image.src = source;
    this.image.hidden = this.remove.hidden = false;
    this.cropper.hidden = !this.input.files.length;
    this.facts.textContent = size;
    this.box.classList.add("has-picture");
    this.changed();
  }

  clear() {
    this.input.value = this.kept.value = "";
    this.image.removeAttribute("src");
    this.image.hidden = this.remove.hidden = this.cropper.hidden = true;
    this.facts.textContent = "";
    this.box.classList.remove("has-picture");
    this.say("");
    this.changed();
  }

  say(text, offer) {
    this.errors.replaceChildren();
    if (!text) return;
    const item = document.createElement("li");
    const words = document.createElement("span");
    words.append(text);
    if (offer) words.append(" ", act(offer));
    item.append(words);
    this.errors.append(item);
  }
}

// A sentence's way out, one click away.
export function act({ label, run }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "act";
  button.textContent = label;
  button.addEventListener("click", run);
  return button;
}

export function frames(root, texts, changed, ratio) {
  const [first, last] = [...root.querySelectorAll("[data-frame]")].map((element) => new Frame(element, texts, changed, ratio));
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((candidate) => candidate.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    (first.filled ? last : first).put(file);
  });
  // A picture that misses its zone must not replace the page.
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => { if (event.target.type !== "file") event.preventDefault(); });
  }
  return { first, last };
}
