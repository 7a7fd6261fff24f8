// A new storyboard: rows that come and go, and the price of all of them while one writes.

const form = document.getElementById("plan");
const rows = document.getElementById("rows");
const most = Number(form.dataset.most);
const add = form.querySelector("[data-add]");
const sum = form.querySelector("[data-sum]");
const all = () => [...rows.querySelectorAll("[data-row]")];
const blank = all().at(-1).cloneNode(true);
blank.querySelector("textarea").value = "";
blank.querySelector(".errors")?.remove();

function update() {
  const make = form.elements.make.selectedOptions[0].dataset;
  const perSecond = Number(form.elements.sound.checked && make.priceSound ? make.priceSound : make.price);
  const seconds = all()
    .filter((row) => row.querySelector("textarea").value.trim())
    .reduce((total, row) => total + Number(row.querySelector("select").value), 0);
  sum.textContent = sum.dataset.words.replace("%s", seconds * perSecond);
  add.disabled = all().length >= most;
  for (const button of rows.querySelectorAll("[data-drop]")) button.disabled = all().length < 2;
}

add.addEventListener("click", () => {
  const row = blank.cloneNode(true);
  rows.append(row);
  update();
  row.querySelector("textarea").focus();
});
rows.addEventListener("click", ({ target }) => {
  const row = target.closest("[data-drop]")?.closest("[data-row]");
  if (!row) return;
  const next = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  update();
  next.querySelector("textarea").focus();
});
form.addEventListener("input", update);
update();
