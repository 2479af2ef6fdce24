// The right-hand side: legend with names, atlas, and the patient of the slide.
"use strict";

function svg(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// HPCs of the signature first, the heaviest on top; then the most common of the slide. Coarse groups instead when tiles are coloured by them.
function legend() {
  if (!state.study) return;
  const counts = new Map();
  for (const n of state.tiles ? unitsOfTiles() : []) counts.set(n, (counts.get(n) || 0) + 1);
  const weight = (unit) => Math.abs(unit.weight || 0), count = (unit) => counts.get(numberOf(unit)) || 0;
  const ordered = [...units()].sort((a, b) => weight(b) - weight(a) || count(b) - count(a) || numberOf(a) - numberOf(b));
  $("legend").setAttribute("aria-label", byGroup() ? "Coarse groups" : "HPCs");
  $("legend").replaceChildren(...ordered.map((unit) => legendRow(unit, count(unit))));
}

// What moves this slide's score most, as tissue: the way to its tile nearest to an exemplar, and the nearest exemplars of other patients.
async function nearest(slide) {
  $("nearest").replaceChildren();
  const rows = await get(`/api/slides/${slide.id}/nearest`).catch(() => []);
  if (state.slide !== slide || !rows.length) return;
  const measured = rows.some((r) => r.exemplars.some((e) => e.distance !== null));
  $("nearest").replaceChildren(element("h3", "Tissue behind this score"),
    element("p", measured ? "Exemplars of other patients, the nearest first; below each its distance (1 − cosine)." : "Exemplars of other patients.", { class: "small" }),
    ...rows.map(nearRow));
}

function nearRow(row) {
  const hpc = state.study.hpcs[row.hpc];
  const here = element("button", `${unitName(hpc)}, ${row.count} ${row.count === 1 ? "tile" : "tiles"}`, { class: "name", title: "Go to its tile nearest to an exemplar" });
  here.addEventListener("click", () => { jump(row); pane("view"); });
  const exemplars = row.exemplars.map((e) => element("div", null, {}, exemplarButton(state.study.exemplars[e.index]),
    element("span", e.distance === null ? "" : number(e.distance), { class: "small" })));
  return element("div", null, { class: "near" }, here, element("span", hpc.weight > 0 ? "▲" : "▼", { class: hpc.weight > 0 ? "harm" : "protect" }),
    element("div", null, { class: "tiles" }, ...exemplars));
}

function legendRow(unit, count) {
  const item = element("li", null, count ? {} : { class: "absent" }), key = numberOf(unit), what = byGroup() ? "coarse group" : "HPC";
  const box = element("input", null, { type: "checkbox", "aria-label": `Show ${unitName(unit)}` });
  box.checked = visible(key);
  box.addEventListener("change", () => {
    state.solo = null;
    if (box.checked) state.shown.add(key); else state.shown.delete(key);
    repaint();
  });
  const swatch = element("button", null, { class: "swatch", title: `Show only this ${what} (s)`, "aria-label": `Only ${unitName(unit)}`, "aria-pressed": String(state.solo === key) },
    svg("svg", { width: 14, height: 14, "aria-hidden": "true" }, svg("rect", { width: 14, height: 14, rx: 2, fill: unitColour(unit) })));
  swatch.addEventListener("click", () => solo(key));
  const name = element("button", unit.artefact ? `${unitName(unit)} (artefact)` : unitName(unit),
    { class: "name", "aria-pressed": String(state.chosen === key), "data-unit": key });
  if (typeof unit.steadiness === "number") name.title = `Steadiness ${unit.steadiness.toFixed(2)}: how well other patients show it again`;
  name.addEventListener("click", () => { state.chosen = key; legend(); atlas(); });
  item.append(box, swatch, name);
  if (unit.weight) item.append(element("span", unit.weight > 0 ? "▲" : "▼", { class: unit.weight > 0 ? "harm" : "protect", title: `${unit.weight > 0 ? "higher" : "lower"} risk, weight ${number(unit.weight)}` }));
  if (state.study.writable) {
    const pencil = element("button", "✎", { class: "edit", title: `Name this ${what}`, "aria-label": `Name ${unit.label}` });
    pencil.addEventListener("click", () => editName(unit, item));
    item.append(pencil);
  }
  item.append(element("span", count || "", { class: "count" }));
  return item;
}

function solo(key) {
  state.solo = state.solo === key ? null : key;
  state.chosen = key;
  legend();
  atlas();
  repaint();
}

function editName(unit, item) {
  const field = element("input", null, { type: "text", maxlength: 80, "aria-label": `Name of ${unit.label}` });
  field.value = unit.given;
  let done = false;
  const finish = async (save) => {
    if (done) return;
    done = true;
    if (save && field.value.trim() !== unit.given) {
      try {
        const answer = await ask(`/api/${unit.hpc === undefined ? "groups" : "hpcs"}/${numberOf(unit)}`, {
          method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: field.value }) });
        unit.given = (await answer.json()).given;
      } catch (error) {
        say(error.message);
      }
    }
    legend();
    if (state.slide) nearest(state.slide);
    document.querySelector(`#legend [data-unit="${numberOf(unit)}"]`)?.focus();
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter") finish(true);
    if (event.key === "Escape") finish(false);
  });
  field.addEventListener("blur", () => finish(true));
  item.replaceChildren(field);
  field.focus();
}

function atlas() {
  const what = byGroup() ? "coarse group" : "HPC";
  const tiles = state.study.exemplars.filter((e) => (byGroup() ? e.coarse : e.hpc) === state.chosen).slice(0, 16);
  const hint = state.chosen === null ? `Choose ${byGroup() ? "a coarse group" : "an HPC"}, or click a tile, to see the most typical tiles of the ${what}.`
    : tiles.length ? `${unitName(units()[state.chosen])}: most typical tiles` : `No exemplars of this ${what}.`;
  $("atlas-hint").replaceChildren(hint);
  if (state.study.report && tiles.length) $("atlas-hint").append(" (", element("a", "in the report", { href: `/report#${byGroup() ? `coarse-${state.chosen}` : `hpc-${String(state.chosen).padStart(2, "0")}`}` }), ")");
  $("atlas").replaceChildren(...tiles.map(exemplarButton));
}

function exemplarButton(e) {
  const slide = state.study.slides.find((s) => s.id === e.slide);
  const button = element("button", null, { title: `${slide.name}: go there`, "data-exemplar": e.index });
  button.append(element("img", null, { src: `/api/exemplars/${e.index}.jpg`, alt: `Tile of ${slide.name}: go there`, loading: "lazy" }));
  button.addEventListener("click", () => { openSlide(slide, () => jump(e)); pane("view"); });
  return button;
}

// -- the patient --------------------------------------------------------------------------------
function showPatient(slide, panel) {
  const out = [element("p", `${slide.patient}${panel && panel.cohort ? `, ${panel.cohort}` : ""}`, { class: "who" })];
  if (slide.score !== null) {
    const cutoff = panel && panel.cutoff !== undefined ? `, cut-off ${number(panel.cutoff)}` : "";
    out.push(element("p", null, {}, element("span", slide.group, { class: `badge ${slide.group.split(" ")[0]}` }), document.createTextNode(` score ${number(slide.score)}${cutoff}`)));
  }
  if (panel && panel.contributions && panel.contributions.length) out.push(contributions(panel.contributions));
  if (panel && panel.curve) out.push(curve(panel.curve, slide.group));
  if (panel && panel.unreadable) out.push(element("p", `No curves: ${panel.unreadable}`, { class: "warning" }));
  $("patient").replaceChildren(...out);
}

function contributions(rows) {
  const top = Math.max(...rows.map((r) => Math.abs(r.adds)), 1e-9);
  const table = element("table", null, {}, element("caption", "Contributions to the score"));
  const shown = rows.slice(0, 8).filter((r) => Math.abs(r.adds) >= 0.005);
  for (const r of shown) {
    const width = 46 * Math.abs(r.adds) / top;
    const bar = svg("svg", { viewBox: "0 0 100 10", width: 70, height: 10, "aria-hidden": "true" },
      svg("line", { x1: 50, x2: 50, y1: 0, y2: 10, stroke: "currentColor", "stroke-width": 0.8 }),
      svg("rect", { x: r.adds > 0 ? 50 : 50 - width, y: 1.5, width, height: 7, fill: r.adds > 0 ? "#d55e00" : "#0072b2" }));
    const name = element("th", r.name, { scope: "row" });
    if (typeof r.frequency === "number") name.title = `Selected in ${(100 * r.frequency).toFixed(0)}% of half-samples of the discovery patients`;
    table.append(element("tr", null, {}, name, element("td", `${(100 * r.value).toFixed(1)}%`),
      element("td", null, {}, bar), element("td", `${r.adds > 0 ? "+" : ""}${number(r.adds)}`)));
  }
  const left = rows.length - shown.length;
  if (left) table.append(element("tr", null, {}, element("td", `${left} smaller ${left === 1 ? "term" : "terms"}`, { colspan: 4, class: "small" })));
  return table;
}

// Kaplan-Meier curves of the cohort; the patient's own follow-up is a mark on the curve of the patient's group.
function curve(data, group) {
  const width = 240, height = 130, left = 28, bottom = 112, colours = { low: "#0072b2", high: "#d55e00" };
  const longest = Math.max(...data.groups.map((g) => g.time[g.time.length - 1] || 1), data.time || 0);
  const x = (t) => left + ((width - left - 6) * t) / longest, y = (s) => 8 + (bottom - 8) * (1 - s);
  const at = (g, t) => { let s = 1; g.time.forEach((v, i) => { if (v <= t) s = g.estimate[i]; }); return s; };
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "curve" });
  const title = svg("title", {});
  title.textContent = `${data.endpoint} of the cohort by risk group` + (data.time === null ? "" : `; this patient: ${data.event ? "event" : "censored"} at ${data.time} ${data.unit}`);
  picture.append(title);
  for (const s of [0, 0.5, 1]) {
    const label = svg("text", { x: left - 4, y: y(s) + 3, "text-anchor": "end" });
    label.textContent = `${100 * s}`;
    picture.append(svg("line", { x1: left, x2: width - 6, y1: y(s), y2: y(s), class: "grid" }), label);
  }
  for (const g of data.groups) {
    let d = `M${x(0)},${y(1)}`;
    g.time.forEach((t, i) => { d += `H${x(t)}V${y(g.estimate[i])}`; });
    picture.append(svg("path", { d, fill: "none", stroke: colours[g.group] || "#5f6670", "stroke-width": g.group === group ? 2.4 : 1.2 }));
  }
  const own = data.groups.find((g) => g.group === group);
  if (data.time !== null && own) picture.append(svg("circle", { cx: x(data.time), cy: y(at(own, data.time)), r: 4.5, fill: data.event ? colours[group] : "none", stroke: "currentColor", "stroke-width": 1.4, class: "here" }));
  const axis = svg("text", { x: width - 6, y: height - 4, "text-anchor": "end" });
  axis.textContent = `${data.endpoint}, ${Math.round(longest)} ${data.unit}`;
  picture.append(axis);
  const what = data.time === null ? "" : `This patient: ${data.event ? "event" : "censored"} at ${number(data.time, 1)} ${data.unit}.`;
  return element("figure", null, {}, picture, element("figcaption", what, { class: "small" }));
}
