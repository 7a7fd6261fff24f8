// What was begun is there again after a reload, a crash, a night: kept in this browser, gone once it is made.

const MOST_PICTURE = 1_500_000; // bytes; what all pages of a site may keep is about five million characters
const PAUSE = 400; // milliseconds without a key before it is written down
const FIELDS = ["prompt", "negative_prompt", "model", "mode", "seconds", "size", "sound", "first_url", "last_url"];

const read = (blob) => new Promise((done) => {
  const reader = new FileReader();
  reader.addEventListener("load", () => done(reader.result));
  reader.addEventListener("error", () => done(""));
  reader.readAsDataURL(blob);
});

function toFile({ name, data }) {
  const [head, body] = data.split(",");
  const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
  return new File([bytes], name, { type: head.slice(5, head.indexOf(";")) });
}

export class Draft {
  constructor(form, zones, key) {
    Object.assign(this, { form, zones, key, waiting: 0, over: false });
    for (const event of ["input", "change"]) form.addEventListener(event, () => this.soon());
  }

  soon() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.save(), PAUSE);
  }

  async save() {
    if (this.over) return;
    const { elements } = this.form;
    const kept = Object.fromEntries(FIELDS.map((name) => [name, elements[name].value]));
    kept.pictures = {};
    for (const [name, zone] of Object.entries(this.zones)) {
      const file = zone.input.files[0];
      if (file && file.size <= MOST_PICTURE) kept.pictures[name] = { name: file.name, data: await read(file) };
    }
    if (!kept.prompt.trim() && !Object.keys(kept.pictures).length && !kept.first_url) { this.forget(); return; }
    if (this.over) return;
    try {
      localStorage.setItem(this.key, JSON.stringify(kept));
    } catch {
      // Full: the words without the pictures.
      try { localStorage.setItem(this.key, JSON.stringify({ ...kept, pictures: {} })); } catch { /* no storage here */ }
    }
  }

  forget() {
    try { localStorage.removeItem(this.key); } catch { /* no storage here */ }
  }

  // It has been made: what is still on its way into the storage comes too late.
  end() {
    this.over = true;
    clearTimeout(this.waiting);
    this.forget();
  }

  // Whether there was something to bring back.
  restore() {
    let kept = null;
    try { kept = JSON.parse(localStorage.getItem(this.key)); } catch { /* none, or not ours */ }
    if (!kept) return false;
    const { elements } = this.form;
    for (const name of FIELDS) {
      // A choice that is no longer offered stays as the page has it.
      const offered = !(elements[name] instanceof RadioNodeList) || [...elements[name]].some((radio) => radio.value === kept[name]);
      if (typeof kept[name] === "string" && offered) elements[name].value = kept[name];
    }
    for (const [name, picture] of Object.entries(kept.pictures ?? {})) this.zones[name]?.put(toFile(picture));
    return true;
  }
}
