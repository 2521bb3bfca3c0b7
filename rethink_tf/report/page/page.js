"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs;
const BY_ID = new Map(RUNS.map((run) => [run.id, run]));
const table = document.getElementById("runs");
const SVG = "http://www.w3.org/2000/svg";
let sorted = { key: null, down: false };

function shown(column, value) {
  if (value === null || value === undefined || value === "") return "–";
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
  for (const run of rows) {
    const line = element("tr");
    for (const column of DATA.columns) {
      const numeric = column.kind !== "text";
      const cell = element("td", undefined, numeric ? "number" : "");
      if (column.key === "id") {
        const link = element("a", run.id);
        link.href = "#run-" + run.id;
        cell.append(link);
      } else {
        cell.textContent = shown(column, run[column.key]);
        if (column.key === "status") cell.className = run.status;
      }
      line.append(cell);
    }
    body.append(line);
  }
  table.tBodies[0].replaceWith(body);
  document.getElementById("count").textContent = rows.length + " of " + RUNS.length + " runs";
}

function head() {
  const line = element("tr");
  for (const column of DATA.columns) {
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

function panel(run) {
  const place = document.getElementById("panel");
  place.replaceChildren();
  place.hidden = !run;
  if (!run) return;
  place.append(element("h3", run.id));
  const facts = element("dl");
  for (const [name, value] of Object.entries(run.facts)) {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", String(value)));
    facts.append(pair);
  }
  place.append(facts);
  const both = element("div");
  both.id = "curves";
  if (run.curves) {
    for (const one of DATA.charts) {
      const curves = one.curves.filter(([key]) => run.curves[key])
        .map(([key, title, colour]) => ({ title, colour, values: run.curves[key].map((v) => v === null ? null : v * one.factor) }));
      const made = chart(one.title, one.unit, curves, run.curves.epoch, one.top);
      if (made) both.append(made);
    }
  }
  place.append(both.childElementCount ? both : element("p", run.why || "No curves are kept of this run.", "note"));
  place.scrollIntoView({ block: "start" });
}

function follow() {
  const id = decodeURIComponent(location.hash);
  panel(id.startsWith("#run-") ? BY_ID.get(id.slice(5)) : null);
}

head();
fill();
for (const one of document.querySelectorAll(".filters input, .filters select")) one.oninput = fill;
window.addEventListener("hashchange", follow);
follow();
