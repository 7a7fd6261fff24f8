// Pictures from the library for the frames: the chosen one becomes a file of the form, checked like any other.

const dialog = document.getElementById("stills-dialog");
const place = document.getElementById("stills");
let zone = null;

async function load() {
  const answer = await fetch(place.dataset.from, { headers: { "X-Requested-With": "fetch" } });
  place.innerHTML = answer.ok ? await answer.text() : "";
}

place.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-still]");
  if (!button) return;
  const answer = await fetch(button.dataset.still);
  const blob = await answer.blob();
  const type = blob.type || "image/jpeg";
  zone?.put(new File([blob], `from-library.${type.split("/")[1]}`, { type }));
  dialog.close();
});

export function choose(forZone) {
  zone = forZone;
  dialog.showModal();
  return load();
}
