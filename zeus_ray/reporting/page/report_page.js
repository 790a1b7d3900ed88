"use strict";
// Draws the figures, for a light or a dark page and for its width, and again when either changes.
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 40rem)");

function narrowed(data, layout) {
  const cells = data.some((trace) => trace.type === "heatmap");
  for (const trace of data) {
    if (trace.marker) trace.marker.size *= cells ? 0.6 : 0.75;
    for (const bar of [trace.colorbar, trace.marker && trace.marker.colorbar]) {
      if (bar) Object.assign(bar, { thickness: 8, title: { ...bar.title, font: { size: 11 } } });
    }
    if (trace.type === "heatmap") trace.showscale = false;  // its numbers need the room
    if (trace.mode === "text") {  // without intervals, which the list of values has
      trace.text = trace.text.map((text) => text.split("<br>")[0]);
      trace.textfont.size = 9;
    }
  }
  layout.font.size = 11;
  layout.margin = { ...layout.margin, l: 40, r: 5 };
}

function draw() {
  for (const figure of document.querySelectorAll("figure[data-picture]")) {
    const source = JSON.parse(document.getElementById(figure.dataset.picture).textContent);
    const { data, layout } = source[dark.matches ? "dark" : "light"];
    if (narrow.matches) narrowed(data, layout);
    Plotly.react(figure.querySelector(".plot"), data, layout, { responsive: true, displayModeBar: false });
  }
  document.documentElement.dataset.drawn = dark.matches ? "dark" : "light";
}

draw();
dark.addEventListener("change", draw);
narrow.addEventListener("change", draw);
