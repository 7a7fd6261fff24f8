// How many videos the grid stands for and what they cost, while one ticks; the server says it line by line.

const form = document.getElementById("matrix");
const [count, sum] = ["[data-count]", "[data-sum]"].map((selector) => form.querySelector(selector));

function update() {
  const isGrid = form.elements.as.value !== "table";
  form.classList.toggle("table", !isGrid);
  count.parentElement.hidden = !isGrid;
  const prompts = form.elements.prompts.value.split("\n").filter((line) => line.trim()).length;
  const ticked = (name) => [...form.querySelectorAll(`[name="${name}"]:checked`)];
  const prices = ticked("makes").map((box) => Number(box.dataset.price));
  const seconds = ticked("seconds").map((box) => Number(box.value));
  const total = prompts * prices.reduce((a, b) => a + b, 0) * seconds.reduce((a, b) => a + b, 0);
  count.textContent = count.dataset.words.replace("%s", prompts * prices.length * seconds.length);
  sum.textContent = sum.dataset.words.replace("%s", total);
}

// A price that is shown belongs to what was sent: whoever changes anything has to look again.
form.addEventListener("input", () => { update(); document.getElementById("quote")?.remove(); });
form.addEventListener("submit", (event) => {
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "1";
  event.submitter?.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => { delete form.dataset.sent; });
update();
document.getElementById("quote")?.scrollIntoView({ block: "nearest" });
