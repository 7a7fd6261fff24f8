// What was begun is there again after a reload, a crash, a night: kept in this browser, gone once it is made.
// Words lie in localStorage, at hand while the page is built; pictures in IndexedDB, which has room for large ones.

const PAUSE = 400; // milliseconds without a key before it is written down
const FIELDS = ["prompt", "negative_prompt", "model", "mode", "seconds", "size", "sound", "first_url", "last_url"];

// One step in the store of pictures. A browser that refuses it (a private window, a full disk) rejects.
const inStore = (mode, step) => new Promise((done, fail) => {
  const opening = indexedDB.open("drafts");
  opening.onupgradeneeded = () => opening.result.createObjectStore("pictures");
  opening.onerror = () => fail(opening.error);
  opening.onsuccess = () => {
    const database = opening.result;
    try {
      const transaction = database.transaction("pictures", mode);
      const asked = step(transaction.objectStore("pictures"));
      transaction.oncomplete = () => done(asked.result);
      transaction.onabort = () => fail(transaction.error);
    } catch (error) {
      fail(error);
    }
    database.close(); // once what was begun is over
  };
});

export class Draft {
  // `unkept` is told what the browser refuses to keep: "unkeptWords", "unkeptPictures", or nothing.
  constructor(form, zones, key, unkept) {
    Object.assign(this, { form, zones: Object.values(zones), key, unkept, waiting: 0, over: false });
    this.written = []; // the pictures in the store, as far as this page knows
    this.bringing = Promise.resolve(); // what is on its way out of the store must not be overwritten by its absence
    for (const event of ["input", "change"]) form.addEventListener(event, () => this.soon());
  }

  soon() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.save(), PAUSE);
  }

  async save() {
    await this.bringing;
    if (this.over) return;
    const { elements } = this.form;
    const words = Object.fromEntries(FIELDS.map((name) => [name, elements[name].value]));
    const pictures = this.zones.map((zone) => zone.input.files[0] ?? null);
    if (!words.prompt.trim() && !words.first_url && !pictures.some(Boolean)) {
      this.unkept();
      this.forget();
      return;
    }
    try {
      localStorage.setItem(this.key, JSON.stringify(words));
    } catch {
      this.unkept("unkeptWords");
      return;
    }
    this.unkept(await this.keep(pictures) ? undefined : "unkeptPictures");
  }

  // Large ones are written once, not after every word. Whether all of them are kept.
  async keep(pictures) {
    if (pictures.every((picture, place) => picture === this.written[place])) return true;
    this.written = pictures;
    try {
      await inStore("readwrite", (store) => store.put(pictures, this.key));
      return true;
    } catch {
      this.written = [];
      return !pictures.some(Boolean);
    }
  }

  async forget() {
    this.written = [];
    try {
      localStorage.removeItem(this.key);
      await inStore("readwrite", (store) => store.delete(this.key));
    } catch { /* no storage here */ }
  }

  // It has been made: what is still on its way into the storage comes too late.
  end() {
    this.over = true;
    clearTimeout(this.waiting);
    return this.forget();
  }

  // Whether there was something to bring back: words at once, pictures a moment later.
  restore() {
    let words = null;
    try { words = JSON.parse(localStorage.getItem(this.key)); } catch { /* none, or not ours */ }
    if (!words) {
      this.forget(); // pictures without words are what a page left that closed too early
      return false;
    }
    const { elements } = this.form;
    for (const name of FIELDS) {
      // A choice that is no longer offered stays as the page has it.
      const offered = !(elements[name] instanceof RadioNodeList) || [...elements[name]].some((radio) => radio.value === words[name]);
      if (typeof words[name] === "string" && offered) elements[name].value = words[name];
    }
    this.bringing = this.bring();
    return true;
  }

  async bring() {
    try {
      const pictures = await inStore("readonly", (store) => store.get(this.key));
      this.zones.forEach((zone, place) => { if (pictures?.[place] && !zone.filled) zone.put(pictures[place]); });
    } catch { /* no storage here */ }
  }
}
