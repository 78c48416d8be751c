// Draws the plots from the data in the page. The data names colours; their values are in the style sheet.
(() => {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const networks = window.fairnasNetworks; // defined on the page of a run, whose plots are linked
  const MARKING = ["lasso2d", "select2d"];
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: touch ? false : "hover",
    modeBarButtonsToRemove: [...MARKING, "autoScale2d", "zoomIn2d", "zoomOut2d"],
  };
  const marking = {
    ...config,
    modeBarButtonsToRemove: config.modeBarButtonsToRemove.filter((name) => !MARKING.includes(name)),
  };
  const linked = (figure) => Boolean(networks && figure.layout.meta && figure.layout.meta.linked);

  function coloured(value, style) {
    if (typeof value === "string") {
      const name = /^var\((--[a-z-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => coloured(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item, style)]));
    }
    return value;
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const family = getComputedStyle(document.body).fontFamily;
    for (const [name, figure] of Object.entries(figures)) {
      const place = document.getElementById("plot-" + name);
      const { data, layout } = coloured(figure, style);
      layout.font.family = family;
      layout.dragmode = touch ? false : linked(figure) ? "select" : "zoom"; // a finger scrolls the page
      Plotly.react(place, data, layout, linked(figure) ? marking : config);
      if (linked(figure)) networks.drawn(place);
    }
  }

  Object.values(figures).filter(linked).forEach((figure) => networks.prepare(figure));
  dark.addEventListener("change", draw);
  draw();
})();
