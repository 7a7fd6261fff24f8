// Charts of usage: values come as JSON in the page, colours from the design tokens; a table says the same below.

const charts = [];

// A token may hold light-dark(); the colour that an element really has is what it comes to.
function colour(token) {
  const probe = document.createElement("i");
  probe.className = `ink-${token}`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function draw() {
  const box = document.querySelector("[data-charts]");
  if (!box || !window.Chart) return;
  box.hidden = false;
  const data = JSON.parse(document.getElementById(box.dataset.charts).textContent);
  const [accent, danger, ink, line] = ["accent", "danger", "faint", "line"].map(colour);
  window.Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  const told = new Intl.DateTimeFormat(document.documentElement.lang, { month: "short", day: "numeric", timeZone: "UTC" });
  const days = data.days.map((day) => told.format(new Date(day)));
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  for (const canvas of box.querySelectorAll("canvas")) {
    const kind = canvas.dataset.chart;
    const labels = canvas.dataset.labels.split(",");
    const colours = kind === "stack" ? [accent, danger] : [accent, ink];
    const datasets = canvas.dataset.series.split(",").map((name, place) => ({
      label: labels[place],
      data: data[name],
      backgroundColor: colours[place],
      borderColor: colours[place],
      borderWidth: kind === "line" ? 2 : 0,
      pointRadius: data.days.length > 60 ? 0 : 2,
      spanGaps: true,
      tension: 0.25,
    }));
    charts.push(new window.Chart(canvas, {
      type: kind === "line" ? "line" : "bar",
      data: { labels: days, datasets },
      options: {
        animation: calm ? false : { duration: 300 },
        maintainAspectRatio: false,
        interaction: { mode: "index", intersect: false },
        plugins: { legend: { display: datasets.length > 1, labels: { color: ink, boxWidth: 12, boxHeight: 12 } } },
        scales: {
          x: { stacked: kind === "stack", ticks: { color: ink, maxTicksLimit: 8, maxRotation: 0 }, grid: { display: false } },
          y: { stacked: kind === "stack", beginAtZero: true, ticks: { color: ink, maxTicksLimit: 5, precision: 0 }, grid: { color: line }, border: { display: false } },
        },
      },
    }));
  }
}

function redraw() {
  for (const chart of charts.splice(0)) chart.destroy();
  draw();
}

new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

for (const form of document.querySelectorAll("[data-send-on-change]")) {
  form.addEventListener("change", () => form.requestSubmit());
}
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

draw();
