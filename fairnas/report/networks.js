// Linked views: what is marked in one plot is marked in all; a click, or Enter in a list, shows a network in full.
(() => {
  "use strict";
  const source = document.getElementById("networks");
  if (!source) return;
  const known = JSON.parse(source.textContent);
  const NONE = "\u2013", SPACE = "\u00a0", MOST_FOUND = 12;
  const row = new Map(known.genomes.map((genome, number) => [genome, number]));
  const front = new Set(known.front), retrained = new Set(known.retrained);
  const [accuracy] = known.quantities;
  const panel = document.getElementById("network");
  const limits = [...document.querySelectorAll(".limit")].map((each) => ({
    quantity: known.quantities.find((one) => one.name === each.dataset.name),
    from: each.querySelector("[data-end=from]"),
    to: each.querySelector("[data-end=to]"),
  }));
  const all = document.getElementById("networks-all");
  const views = [];
  let brushed = null, outlined = null, marked = null, shown = -1, pointed = -1, busy = false, waiting = 0;

  // Formats numbers as in the tables of the page.
  function digits(value, least = 0) {
    const places = value ? Math.min(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))), 6) : 2;
    const shape = { minimumFractionDigits: Math.max(least, places), maximumFractionDigits: Math.max(least, places) };
    return value.toLocaleString("en", shape).replace("-", "\u2212");
  }

  function said(quantity, number) {
    const value = quantity.values[number];
    if (value === null) return NONE;
    if (quantity.kind === "share") return value.toFixed(1) + SPACE + "%";
    if (quantity.kind === "generation") return String(value);
    return digits(value) + (quantity.unit ? SPACE + quantity.unit : "");
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const escaped = (text) => text.replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);

  function hover(number) {
    const lines = known.quantities.map((each) =>
      each.kind === "millions" ? `${said(each, number)} ${each.words}` : `${each.words} ${said(each, number)}`);
    return [`<b>${escaped(known.genomes[number])}</b>`, ...lines.map(escaped)].join("<br>");
  }

  function element(name, content = [], attributes = {}) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...[content].flat());
    return made;
  }

  function genomeButton(number) {
    const genome = known.genomes[number];
    return element("button", element("code", genome), { type: "button", class: "genome", "data-genome": genome });
  }

  // Marking ----------------------------------------------------------------------------------------------------

  function limited() {
    const set = limits.filter((each) => each.from.value !== "" || each.to.value !== "");
    if (!set.length) return null;
    return known.genomes.map((_, number) => number).filter((number) => set.every(({ quantity, from, to }) => {
      const value = quantity.values[number];
      if (value === null) return false;
      return !(from.value !== "" && value < Number(from.value)) && !(to.value !== "" && value > Number(to.value));
    }));
  }

  function mark() {
    const within = limited();
    marked = within === null ? brushed : new Set(within.filter((number) => brushed === null || brushed.has(number)));
    views.forEach(paint);
    tell();
  }

  function paint(place) {
    const rows = place.data.map((trace) => trace.customdata);
    const traces = rows.map((each, number) => (each ? number : -1)).filter((number) => number >= 0);
    const points = traces.map((trace) => {
      if (marked === null) return null;
      return rows[trace].map((number, index) => (marked.has(number) ? index : -1)).filter((index) => index >= 0);
    });
    busy = true;
    Plotly.restyle(place, { selectedpoints: points }, traces);
    busy = false;
  }

  // Plotly would apply a kept selection again at every change of its plot, so the outline is drawn as a shape instead.
  function brush(rows, outline) {
    brushed = rows;
    outlined = outline;
    busy = true;
    for (const place of views) {
      if ((place.layout.selections || []).length) Plotly.relayout(place, { selections: [] });
    }
    busy = false;
    mark();
    views.forEach(ring);
  }

  function outlineOf(place, event) {
    const line = { color: colour("--chosen"), width: 1.5, dash: "dot" };
    if (event.range) {
      const [[x0, x1], [y0, y1]] = [event.range.x, event.range.y];
      return { place, shape: { type: "rect", x0, x1, y0, y1, line } };
    }
    const { x, y } = event.lassoPoints;
    return { place, shape: { type: "path", path: `M${x.map((each, number) => `${each},${y[number]}`).join("L")}Z`, line } };
  }

  function tell() {
    const found = document.getElementById("networks-found");
    const text = document.getElementById("networks-marked");
    all.disabled = marked === null;
    document.querySelectorAll(".front tbody tr").forEach((line) => {
      const number = row.get(line.querySelector("[data-genome]").dataset.genome);
      line.classList.toggle("faded", marked !== null && !marked.has(number));
    });
    if (marked === null) {
      found.replaceChildren();
      text.textContent = `Nothing is marked: all ${known.genomes.length.toLocaleString("en")} networks are shown.`;
      return;
    }
    const order = [...marked].sort((a, b) => accuracy.values[b] - accuracy.values[a]);
    const few = order.length > MOST_FOUND ? `; the ${MOST_FOUND} most accurate of them` : "";
    const on = order.filter((number) => front.has(number)).length;
    text.textContent = `${order.length.toLocaleString("en")} of ${known.genomes.length.toLocaleString("en")} networks ` +
      `marked, ${on} of them on the front${few}${order.length ? ":" : ""}`;
    found.replaceChildren(...order.slice(0, MOST_FOUND).map((number) =>
      element("li", [genomeButton(number), " " + said(accuracy, number)])));
  }

  // One network ------------------------------------------------------------------------------------------------

  function drawing(number) {
    const genome = known.genomes[number], pieces = known.drawing;
    const choices = [...genome].map((character) => parseInt(character, 36));
    const frame = element("div", [], { class: "scroll", role: "region", tabindex: "0", "aria-label": `Drawing of ${genome}` });
    frame.innerHTML = `<svg ${pieces.frame}>${pieces.first}` +
      choices.map((choice, layer) => pieces.choices[layer][choice]).join("") + `${pieces.last}</svg>`;
    const words = choices.map((choice, layer) => pieces.words[layer][choice]).join(", ");
    frame.firstChild.setAttribute("aria-label", `Network ${genome}, from stem to head: ${words}.`);
    return frame;
  }

  function commands(number) {
    const make = `fairnas export --run ${known.run}`;
    if (retrained.has(number)) return make;
    const genome = known.selected.includes(number) ? "" : ` ${known.genomes[number]}`;
    return `fairnas retrain${genome} --run ${known.run}\n${make}`;
  }

  async function copy(button, code) {
    getSelection().selectAllChildren(code);
    let done = false;
    try {
      await navigator.clipboard.writeText(code.textContent);
      done = true;
    } catch {
      done = document.execCommand("copy"); // browsers without a clipboard for pages from the disk
    }
    button.textContent = done ? "Copied" : "Selected: copy it with your keys";
  }

  function show(number, moved = true) {
    shown = number;
    const genome = known.genomes[number], place = known.selected.indexOf(number);
    const what = place >= 0 ? `Selected network ${place + 1}` : front.has(number) ? "On the front" : "Candidate";
    const facts = [...known.quantities.map((each) => [each.words, said(each, number)]), ...(known.told[number] || [])];
    const code = element("code", commands(number));
    const button = element("button", "Copy", { type: "button" });
    button.addEventListener("click", () => copy(button, code));
    const why = retrained.has(number) ? "Export it:" : "Train it from scratch, then export it:";
    panel.replaceChildren(
      element("h3", [element("small", what), " ", element("code", genome)]),
      element("dl", facts.map(([name, value]) => element("div", [element("dt", name), element("dd", value)]))),
      drawing(number),
      element("p", [why, " ", button], { class: "copy" }),
      element("pre", code, { tabindex: "0", "aria-label": "The command that exports this network" }),
    );
    panel.dataset.genome = genome;
    document.querySelectorAll("[data-genome]").forEach((each) => {
      if (each !== panel) each.setAttribute("aria-pressed", String(each.dataset.genome === genome));
    });
    views.forEach(ring);
    if (moved) panel.scrollIntoView({ block: "nearest" });
  }

  function ring(place) {
    const ink = colour("--ink");
    const axes = [known.quantities.find((each) => each.name === place.dataset.quantity), accuracy];
    const shapes = [[shown, 13, 2], [pointed, 10, 1.5]].flatMap(([number, radius, width]) => {
      if (number < 0 || axes.some((axis) => axis.values[number] === null)) return [];
      const [x, y] = axes.map((axis) => axis.values[number]);
      const sized = { xsizemode: "pixel", ysizemode: "pixel", xanchor: x, yanchor: y };
      const ends = { x0: -radius, x1: radius, y0: -radius, y1: radius };
      return [{ type: "circle", ...sized, ...ends, line: { color: ink, width } }];
    });
    if (outlined && outlined.place === place) shapes.push(outlined.shape);
    busy = true;
    Plotly.relayout(place, { shapes });
    busy = false;
  }

  function point(number, where) {
    pointed = number;
    views.filter((place) => place !== where).forEach(ring);
  }

  function join(place) {
    const name = place.id.replace(/^plot-(front-)?/, "");
    place.dataset.quantity = name === "evolution" ? "generation" : name;
    views.push(place);
    place.on("plotly_hover", ({ points: [first] }) => { if (first.customdata !== undefined) point(first.customdata, place); });
    place.on("plotly_unhover", () => point(-1, place));
    place.on("plotly_click", ({ points: [first] }) => { if (first.customdata !== undefined) show(first.customdata); });
    place.on("plotly_selected", (event) => {
      if (busy || !event || !(event.range || event.lassoPoints)) return;
      const rows = event.points.map((each) => each.customdata).filter((each) => each !== undefined);
      const outline = rows.length ? outlineOf(place, event) : null;
      setTimeout(() => brush(rows.length ? new Set(rows) : null, outline)); // once plotly has done its own marking
    });
    place.on("plotly_deselect", () => { if (!busy) setTimeout(() => brush(null, null)); });
  }

  for (const { quantity, from, to } of limits) {
    const values = quantity.values.filter((value) => value !== null);
    const short = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(3))) : "");
    from.placeholder = short(values.reduce((a, b) => Math.min(a, b), Infinity));
    to.placeholder = short(values.reduce((a, b) => Math.max(a, b), -Infinity));
    for (const field of [from, to]) {
      field.addEventListener("input", () => {
        clearTimeout(waiting);
        waiting = setTimeout(mark, 150);
      });
    }
  }

  all.addEventListener("click", () => {
    limits.forEach(({ from, to }) => { from.value = to.value = ""; });
    brush(null, null);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.genome");
    if (button && row.has(button.dataset.genome)) show(row.get(button.dataset.genome));
  });

  // Used by page.js, which draws all plots, and by live.js.
  window.fairnasNetworks = {
    prepare(figure) {
      for (const trace of figure.data) if (trace.customdata) trace.hovertext = trace.customdata.map(hover);
    },
    drawn(place) {
      if (!views.includes(place)) join(place);
      if (marked !== null) paint(place);
      ring(place);
    },
    marking: () => marked !== null,
    show(genome) { if (row.has(genome)) show(row.get(genome), false); },
  };
  tell();
  const offered = known.selected.length ? known.selected : known.front;
  if (offered.length) show(offered[0], false);
})();
