// The fronts of two runs, linked: what a box marks in one plot is marked in the other, and a list says whose it is.
(() => {
  "use strict";
  const text = document.getElementById("fronts-marked"), list = document.getElementById("fronts-found");
  const all = document.getElementById("fronts-all");
  if (!text) return;
  const nothing = text.textContent, MOST_FOUND = 24;
  const views = [];
  let marked = null, busy = false;

  const runs = () => views[0].data.filter((trace) => trace.customdata);

  function paint(place) {
    const traces = place.data.map((trace, number) => (trace.customdata ? number : -1)).filter((number) => number >= 0);
    const points = traces.map((trace) => marked && place.data[trace].customdata
      .map((key, index) => (marked.has(key) ? index : -1)).filter((index) => index >= 0));
    busy = true;
    Plotly.restyle(place, { selectedpoints: points }, traces);
    if ((place.layout.selections || []).length) Plotly.relayout(place, { selections: [] });
    busy = false;
  }

  function brush(keys) {
    marked = keys;
    views.forEach(paint);
    all.disabled = marked === null;
    if (marked === null) {
      text.textContent = nothing;
      list.replaceChildren();
      return;
    }
    const counts = runs().map((trace) =>
      `${trace.customdata.filter((key) => marked.has(key)).length} of ${trace.customdata.length} networks of ${trace.name}`);
    const found = runs().flatMap((trace) => trace.customdata
      .map((key, index) => ({ key, run: trace.name, genome: key.split(" ")[1], top1: trace.y[index] }))
      .filter(({ key }) => marked.has(key)));
    found.sort((a, b) => b.top1 - a.top1);
    const few = found.length > MOST_FOUND ? ` The ${MOST_FOUND} most accurate:` : "";
    text.textContent = `Marked: ${counts.join(", ")}.${few}`;
    list.replaceChildren(...found.slice(0, MOST_FOUND).map(({ run, genome, top1 }) => {
      const item = document.createElement("li"), code = document.createElement("code");
      code.textContent = genome;
      item.append(code, ` ${top1.toFixed(1)}\u00a0% (${run})`);
      return item;
    }));
  }

  function join(place) {
    views.push(place);
    place.on("plotly_selected", (event) => {
      if (busy || !event || !(event.range || event.lassoPoints)) return;
      const keys = event.points.map((each) => each.customdata).filter((each) => each !== undefined);
      setTimeout(() => brush(keys.length ? new Set(keys) : null)); // once plotly has done its own marking
    });
    place.on("plotly_deselect", () => { if (!busy) setTimeout(() => brush(null)); });
  }

  all.addEventListener("click", () => brush(null));

  // Used by page.js, which draws all plots.
  window.fairnasNetworks = {
    prepare() {},
    drawn(place) {
      if (!views.includes(place)) join(place);
      if (marked !== null) paint(place);
    },
  };
})();
