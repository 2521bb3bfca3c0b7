"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const COLUMNS = DATA.columns.filter((column) => !DATA.hidden.includes(column.key));
const RUNS = unpacked(DATA.runs);
const BY_ID = new Map(RUNS.map((run) => [run.id, run]));
const NONE = "–";
const PAGE = 500;  // rows that are made at once
let histories = null, most = PAGE;
const table = document.getElementById("runs");
const SVG = "http://www.w3.org/2000/svg";
let sorted = { key: null, down: false };

// One object a run, out of columns: the values, or the distinct ones and their places.
function unpacked(columns) {
  const runs = [];
  for (const [key, column] of Object.entries(columns)) {
    const values = Array.isArray(column) ? column : column.at.map((place) => column.of[place]);
    values.forEach((value, place) => {
      const run = runs[place] = runs[place] || { facts: {} };
      if (!key.startsWith("facts.")) run[key] = value;
      else if (value !== null) run.facts[key.slice(6)] = value;
    });
  }
  for (const run of runs) {
    const parts = DATA.columns.filter((column) => column.kind === "text" || column.key === "examples");
    run.text = parts.map((column) => run[column.key] || "").join(" ").toLowerCase();
  }
  return runs;
}

// The histories of all runs are unpacked when the first one is looked at.
async function historyOf(id) {
  if (!histories) {
    const packed = atob(document.getElementById("histories").textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    histories = await new Response(stream).json();
  }
  return histories[id];
}

function shown(column, value) {
  if (value === null || value === undefined || value === "") return NONE;
  if (column.kind === "percent") return (100 * value).toFixed(2);
  if (column.kind === "loss") return value.toPrecision(3);
  if (column.kind === "hours") return value.toFixed(2);
  return String(value);
}

function element(name, text, classes) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

function filtered() {
  const words = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = [...document.querySelectorAll(".filters select")].map((s) => [s.name, s.value]);
  return RUNS.filter((run) =>
    chosen.every(([key, value]) => value === "" || [].concat(run[key]).map(String).includes(value))
    && words.every((word) => run.text.includes(word)));
}

function compare(first, second) {
  const a = first[sorted.key], b = second[sorted.key];
  const none = (v) => v === null || v === undefined || v === "";
  if (none(a) || none(b)) return none(a) - none(b);  // what is not there comes last, either way
  const order = typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });
  return sorted.down ? -order : order;
}

function fill() {
  const rows = filtered();
  if (sorted.key) rows.sort(compare);
  const body = element("tbody");
  for (const run of rows.slice(0, most)) {
    const line = element("tr");
    for (const column of COLUMNS) {
      const numeric = column.kind !== "text";
      const cell = element("td", undefined, numeric ? "number" : "");
      cell.dataset.title = column.title;
      if (column.key === "id") {
        const link = element("a", run.id);
        link.href = "#run-" + run.id;
        cell.append(link);
      } else {
        cell.textContent = shown(column, run[column.key]);
        if (column.key === "status") cell.className = run.status;
        if (cell.textContent === NONE) cell.classList.add("none");
      }
      line.append(cell);
    }
    body.append(line);
  }
  table.tBodies[0].replaceWith(body);
  document.getElementById("count").textContent = rows.length + " of " + RUNS.length + " runs";
  const more = document.getElementById("more"), left = rows.length - most;
  more.hidden = left <= 0;
  more.textContent = "Show " + Math.min(left, PAGE) + " more";
}

function head() {
  const line = element("tr");
  for (const column of COLUMNS) {
    const cell = element("th", undefined, column.kind === "text" ? "" : "number");
    const button = element("button", column.title);
    button.type = "button";
    button.onclick = () => {
      sorted = { key: column.key, down: sorted.key === column.key ? !sorted.down : false };
      for (const other of line.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      fill();
    };
    cell.append(button);
    line.append(cell);
  }
  table.tHead.append(line);
}

function drawn(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function ticks(low, high) {
  const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) found.push(v);
  return found.map((v) => Number(v.toPrecision(6)));
}

function chart(title, unit, curves, epochs, top) {
  const rows = Math.ceil(curves.length / 2), below = 40 + 15 * rows;
  const wide = 460, high = 240 + below, left = 46, right = 12, above = 28;
  const values = curves.flatMap((c) => c.values).filter((v) => v !== null);
  if (!values.length) return null;
  const most = top || Math.max(...values) * 1.05 || 1, last = Math.max(...epochs, 2);
  const x = (v) => left + (v - 1) / (last - 1) * (wide - left - right);
  const y = (v) => high - below - v / most * (high - above - below);
  const svg = drawn("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": title });
  const style = "font-size:11px";
  svg.append(drawn("text", { x: left, y: 15, style: "font-size:12px;font-weight:600" }, title));
  for (const v of ticks(0, most)) {
    svg.append(drawn("line", { x1: left, x2: wide - right, y1: y(v), y2: y(v), stroke: "var(--grid)" }));
    svg.append(drawn("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end", style }, String(v)));
  }
  for (const v of ticks(1, last)) if (Number.isInteger(v))
    svg.append(drawn("text", { x: x(v), y: high - below + 16, "text-anchor": "middle", style }, String(v)));
  svg.append(drawn("text", { x: wide - right, y: high - below + 30, "text-anchor": "end", style }, "epoch"));
  svg.append(drawn("text", { x: wide - right, y: 15, "text-anchor": "end", style }, unit));
  const dashes = ["", "6 3", "2 2", "8 3 2 3"];
  curves.forEach((curve, number) => {
    const stroke = `var(--series-${curve.colour})`;
    const points = epochs.map((e, i) => [e, curve.values[i]]).filter((p) => p[1] !== null);
    const path = points.map(([e, v], i) => (i ? "L" : "M") + x(e).toFixed(1) + " " + y(v).toFixed(1));
    const look = { fill: "none", stroke, "stroke-width": 2, "stroke-dasharray": dashes[number % 4] };
    if (points.length > 1) svg.append(drawn("path", { d: path.join(""), ...look }));
    else for (const [e, v] of points) svg.append(drawn("circle", { cx: x(e), cy: y(v), r: 4, fill: stroke }));
    const place = left + (number % 2) * 205, line = high - 15 * rows + 8 + 15 * Math.floor(number / 2);
    svg.append(drawn("line", { x1: place, x2: place + 26, y1: line - 4, y2: line - 4, ...look }));
    svg.append(drawn("text", { x: place + 32, y: line, style }, curve.title));
  });
  return svg;
}

async function panel(run) {
  const place = document.getElementById("panel");
  place.replaceChildren();
  place.hidden = !run;
  if (!run) return;
  place.append(element("h3", run.id));
  const facts = element("dl");
  const known = DATA.columns.filter((column) => !["id", "experiment"].includes(column.key))
    .filter((column) => ![null, undefined, ""].includes(run[column.key]))
    .map((column) => [column.title, shown(column, run[column.key])]);
  for (const [name, value] of [...known, ...Object.entries(run.facts)]) {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", String(value)));
    facts.append(pair);
  }
  place.append(facts);
  const history = await historyOf(run.id), both = element("div");
  if (!facts.isConnected) return;  // another run was chosen meanwhile
  both.id = "curves";
  for (const one of history ? DATA.charts : []) {
    const curves = one.curves.filter(([key]) => history[key])
      .map(([key, title, colour]) => ({ title, colour, values: history[key].map((v) => v === null ? null : v * one.factor) }));
    const made = chart(one.title, one.unit, curves, history.epoch, one.top);
    if (!made) continue;
    const numbers = [["epoch", ...curves.map((curve) => curve.title)],
      ...history.epoch.map((epoch, i) => [epoch, ...curves.map((curve) => curve.values[i] ?? "")])];
    made.prepend(drawn("metadata", {}, numbers.map((line) => line.map(quoted).join(",")).join("\n")));
    const figure = element("figure");
    figure.id = "figure-" + run.id + "-" + one.title.toLowerCase();
    figure.append(made, element("figcaption"));
    addTools(figure);
    both.append(figure);
  }
  place.append(both.childElementCount ? both : element("p", "It has no curves.", "note"));
  place.scrollIntoView({ block: "start" });
}

function quoted(value) {
  const text = String(value);
  return /[",\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

// A drawing as a file of its own, in the colours of a light page, with its numbers as metadata.
function standalone(svg) {
  const copy = svg.cloneNode(true), light = document.styleSheets[0].cssRules[0].style;
  const [, , wide, high] = copy.getAttribute("viewBox").split(" ");
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", wide);
  copy.setAttribute("height", high);
  copy.setAttribute("font-family", "DejaVu Sans, sans-serif");
  const text = new XMLSerializer().serializeToString(copy);
  return text.replace(/var\((--[\w-]+)\)/g, (_, name) => light.getPropertyValue(name).trim());
}

function save(name, kind, text) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function addTools(figure) {
  const tools = element("span", undefined, "tools"), name = figure.id.replace("figure-", "");
  const svg = figure.querySelector("svg");
  if (!svg) return;
  const actions = {
    "Enlarge": () => {
      const large = document.getElementById("large"), close = element("button", "Close");
      close.onclick = () => large.close();
      large.replaceChildren(close, svg.cloneNode(true));
      large.showModal();
    },
    "Save as SVG": () => save(name + ".svg", "image/svg+xml", standalone(svg)),
    "Save its data": () => save(name + ".csv", "text/csv", svg.querySelector("metadata").textContent),
  };
  for (const [title, act] of Object.entries(actions)) {
    const button = element("button", title);
    button.type = "button";
    button.onclick = act;
    tools.append(button);
  }
  figure.querySelector("figcaption").append(tools);
}

function follow() {
  const id = decodeURIComponent(location.hash);
  panel(id.startsWith("#run-") ? BY_ID.get(id.slice(5)) : null);
  const place = id.length > 1 && document.getElementById(id.slice(1));
  const folded = place && place.closest("details");
  if (folded) {
    folded.open = true;
    place.scrollIntoView();
  }
}

for (const button of document.querySelectorAll(".fold button")) button.onclick = () => {
  const rows = button.closest("tbody").nextElementSibling;
  rows.hidden = !rows.hidden;
  button.setAttribute("aria-expanded", String(!rows.hidden));
};
document.querySelectorAll("figure").forEach(addTools);
document.getElementById("more").onclick = () => {
  most += PAGE;
  fill();
};
head();
fill();
for (const one of document.querySelectorAll(".filters input, .filters select")) one.oninput = fill;
window.addEventListener("hashchange", follow);
follow();
