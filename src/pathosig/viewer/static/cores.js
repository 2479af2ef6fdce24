// Core pages: a microarray as a whole, core by core, and corrections of its grid.
// Every text from the study is set with textContent, never as HTML.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const state = { arrays: [], array: null, cores: [], chosen: null, writable: false, drag: null, asked: 0 };
const LEAST_TEXT_PX = 11, MOST_TEXT_PX = 17;

function drawn(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
const letter = (n) => (n > 26 ? String.fromCharCode(64 + Math.floor((n - 1) / 26)) : "") + String.fromCharCode(65 + ((n - 1) % 26));
const label = (core) => `row ${core.row} (${letter(core.row)}), column ${core.column}`;
const shortLabel = (core) => `${letter(core.row)}${core.column}`;
const number = (text) => (text === "" ? "" : Number(text).toFixed(2).replace("-", "−"));

// -- one array --------------------------------------------------------------------------------
async function openArray(key, wanted) {
  const asked = ++state.asked;
  say("");
  try {
    const array = await get(`/api/arrays/${key}`);
    if (asked !== state.asked) return;
    Object.assign(state, { array: { ...array, id: key }, cores: array.cores, chosen: null });
  } catch (error) { say(error.message); return; }
  $("array").value = key;
  draw();
  const core = state.cores.find((c) => c.row === wanted?.row && c.column === wanted?.column);
  choose(core || null);
}

// A place without tissue that the map assigns to no patient was never filled: that is no missing core.
const isMapped = () => state.cores.some((c) => c.patient);
const isEmpty = (core) => core.status === "missing" && !core.patient && isMapped();

function classOf(core) {
  const by = $("colour").value;
  if (isEmpty(core)) return "empty";
  if (by === "status" || core.status === "missing") return core.status;
  if (by === "group") return ["high", "low"].includes(core.group) ? core.group : "none";
  if (by === "map") return core.patient ? "ok" : "poor";
  return core.agreement || "none";
}

const LACKING = [["missing", "missing"], ["empty", "empty: no patient in the map"]];
const KEYS = {
  status: [["ok", "ok"], ["poor", "poor: little tissue, left out"]],
  group: [["high", "high risk"], ["low", "low risk"], ["none", "no score"]],
  agreement: [["agree", "the patient's cores agree"], ["heterogeneous", "the patient's cores disagree"], ["none", "one core, or no score"]],
  map: [["ok", "a patient of the map"], ["poor", "tissue, but no patient"]],
};

function draw() {
  const { name } = state.array;
  const missing = state.cores.filter((c) => c.status === "missing" && !isEmpty(c)), empty = state.cores.filter(isEmpty);
  const rows = Math.max(0, ...state.cores.map((c) => c.row)), columns = Math.max(0, ...state.cores.map((c) => c.column));
  const counts = [`${rows} rows × ${columns} columns`, `${missing.length} missing`, ...(empty.length ? [`${empty.length} empty`] : [])];
  $("name").textContent = name;
  $("facts").textContent = state.cores.length ? counts.join(", ") : "its cores were not found yet: run pathosig tma";
  drawMap();
  const used = [...KEYS[$("colour").value], ...LACKING.filter(([kind]) => (kind === "empty" ? empty : missing).length)];
  $("key").replaceChildren(...used.map(([kind, text]) => element("li", null, {}, element("span", null, { class: `swatch ${kind}` }), element("span", text))));
  const lacking = state.cores.filter((c) => c.status !== "ok" && !isEmpty(c));
  $("lacking-none").hidden = lacking.length > 0;
  $("lacking").replaceChildren(...lacking.map((c) => link(c, `${shortLabel(c)}: ${c.status}${c.patient ? `, patient ${c.patient}` : ""}`)));
  const unmapped = isMapped() ? state.cores.filter((c) => c.status !== "missing" && !c.patient) : [];
  $("unmapped").hidden = !unmapped.length;
  $("unmapped").querySelector("ul").replaceChildren(...unmapped.map((c) => link(c, shortLabel(c))));
  $("empty").hidden = !empty.length;
  $("empty").textContent = `Empty places, to which the map assigns no patient: ${empty.map(shortLabel).join(", ")}.`;
}

function link(core, text) {
  const button = element("button", text);
  button.addEventListener("click", () => choose(core));
  return element("li", null, {}, button);
}

function drawMap() {
  const { id, width, height } = state.array;
  const size = state.cores.length ? state.cores[0].width : height / 10, map = $("map");
  // labels keep a readable size on the screen, and the picture leaves them room
  const space = $("board").getBoundingClientRect(), scale = Math.min(space.width / (width + size), Math.max(space.height, 200) / (height + size));
  const text = Math.min(Math.max(size * 0.3, LEAST_TEXT_PX / scale), MOST_TEXT_PX / scale);
  const left = Math.min(0, ...state.cores.filter((c) => c.column === 1).map((c) => c.x - text * 3));
  const top = Math.min(0, ...state.cores.filter((c) => c.row === 1).map((c) => c.y - text * 1.8));
  map.setAttribute("viewBox", `${left} ${top} ${width - left} ${height - top}`);
  let image = map.querySelector("image");
  if (image?.dataset.array !== id) {
    image = drawn("image", { x: 0, y: 0, width, height, preserveAspectRatio: "none", "data-array": id });
    image.addEventListener("load", () => { $("waiting").hidden = true; });
    image.addEventListener("error", () => { $("waiting").hidden = true; say("The slide cannot be read; its cores are shown without it."); });
    $("waiting").hidden = false;
    image.setAttribute("href", `/api/arrays/${id}/overview.jpg`);
  }
  const glass = drawn("rect", { x: left, y: top, width: width - left, height: height - top, class: "glass" });
  map.replaceChildren(glass, image, ...labels(text), ...state.cores.map(place));
}

function labels(size) {
  const written = (x, y, first, second) => {
    const node = drawn("text", { x, y });
    node.style.fontSize = `${size}px`;
    node.append(document.createTextNode(first));
    if (second) {
      const light = drawn("tspan", { class: "second", dx: size * 0.25 });
      light.textContent = second;
      node.append(light);
    }
    return node;
  };
  const rows = state.cores.filter((c) => c.column === 1).map((c) => written(c.x - size * 1.4, c.y + c.height / 2, letter(c.row), c.row));
  const columns = state.cores.filter((c) => c.row === 1).map((c) => written(c.x + c.width / 2, c.y - size * 0.8, c.column));
  return [...rows, ...columns];
}

function place(core) {
  const chosen = core === state.chosen;
  const sibling = !chosen && state.chosen && state.chosen.patient && core.patient === state.chosen.patient;
  const node = drawn("rect", {
    x: core.x, y: core.y, width: core.width, height: core.height, rx: core.width / 2,
    class: `place ${classOf(core)}${chosen ? " chosen" : ""}${sibling ? " sibling" : ""}`, "data-core": `${core.row}-${core.column}`,
  });
  const title = drawn("title", {});
  title.textContent = `${label(core)}: ${isEmpty(core) ? "empty" : core.status}${core.patient ? `, patient ${core.patient}` : ""}`;
  node.append(title);
  node.addEventListener("pointerdown", (event) => begin(event, core, node));
  return node;
}

// -- one core ---------------------------------------------------------------------------------
function choose(core) {
  state.chosen = core;
  for (const node of document.querySelectorAll("#map .place")) node.remove();
  $("map").append(...state.cores.map(place));
  $("core-title").textContent = core ? label(core) : "Choose a core";
  $("edit").hidden = !core || !state.writable;
  $("core-image").hidden = !core;
  $("open").hidden = !core?.slide;
  $("others-title").hidden = true;
  $("others").replaceChildren();
  if (!core) { $("core-facts").replaceChildren(); return; }
  const side = Math.min(core.width, core.height);
  $("core-image").src = `/api/arrays/${state.array.id}/core/${core.x}/${core.y}/${side}.jpg`;
  $("core-image").alt = `Core at ${label(core)}`;
  $("status").value = core.status;
  if (core.slide) $("open").href = `/#slide=${core.slide}`;
  const rows = [
    ["Status", isEmpty(core) ? "empty" : core.status], ["Tissue of the usual core", `${Math.round(core.tissue * 100)} %`], ["Patient", core.patient || "none in the map"], ["Cohort", core.cohort],
    ["Tiles", core.tiles], ["Score, core", number(core.score)], ["Group, core", core.group],
    ["Score, patient", number(core.patient_score)], ["Group, patient", core.patient_group], ["Patient's cores", core.agreement],
  ];
  $("core-facts").replaceChildren(...rows.filter(([, v]) => v !== "").map(([k, v]) => element("tr", null, {}, element("th", k, { scope: "row" }), element("td", v))));
  const others = core.patient ? state.cores.filter((c) => c.patient === core.patient && c !== core) : [];
  $("others-title").hidden = !others.length;
  $("others").replaceChildren(...others.map((c) => link(c, `${shortLabel(c)}: ${c.group ? `${c.group} ${number(c.score)}` : c.status}`)));
}

function step(by) {
  if (!state.cores.length) return;
  const at = state.chosen ? state.cores.indexOf(state.chosen) + by : 0;
  if (state.cores[at]) choose(state.cores[at]);
}

function neighbour(rows, columns) {
  const from = state.chosen;
  if (!from) { step(0); return; }
  const to = state.cores.find((c) => c.row === from.row + rows && c.column === from.column + columns);
  if (to) choose(to);
}

// -- corrections ------------------------------------------------------------------------------
async function correct(change) {
  const core = state.chosen;
  if (!core || !state.writable) return;
  try {
    const response = await ask(`/api/arrays/${state.array.id}/cores`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ row: core.row, column: core.column, ...change }),
    });
    state.cores = (await response.json()).cores;
    state.chosen = null;
    draw();
    choose(state.cores.find((c) => c.row === core.row && c.column === core.column));
    say("");
    $("facts").textContent += "; saved in cores.csv";
  } catch (error) { say(error.message); }
}

function inside(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform($("map").getScreenCTM().inverse());
  return [point.x, point.y];
}

function begin(event, core, node) {
  event.preventDefault();
  if (core !== state.chosen) { choose(core); return; }
  if (!state.writable) return;
  node.setPointerCapture(event.pointerId);
  state.drag = { core, node, from: inside(event), moved: false };
  node.addEventListener("pointermove", drag);
  node.addEventListener("pointerup", drop, { once: true });
}

function drag(event) {
  const { core, node, from } = state.drag || {};
  if (!core) return;
  const [x, y] = inside(event);
  if (Math.hypot(x - from[0], y - from[1]) > core.width / 50) state.drag.moved = true;
  node.setAttribute("x", core.x + x - from[0]);
  node.setAttribute("y", core.y + y - from[1]);
}

function drop(event) {
  const { core, from, moved } = state.drag || {};
  state.drag = null;
  if (!core || !moved) return;
  const [x, y] = inside(event);
  correct({ x: Math.round(core.x + x - from[0]), y: Math.round(core.y + y - from[1]) });
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("select, input") || event.ctrlKey || event.metaKey || event.altKey) return;
  const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (way && event.shiftKey && state.chosen) {
    const by = state.chosen.width / 20;
    correct({ x: Math.round(state.chosen.x + way[1] * by), y: Math.round(state.chosen.y + way[0] * by) });
  } else if (way) neighbour(...way);
  else return;
  event.preventDefault();
});

$("array").addEventListener("change", () => openArray($("array").value));
$("colour").addEventListener("change", () => { if (state.array) { draw(); choose(state.chosen); } });
$("status").addEventListener("change", () => correct({ status: $("status").value }));
$("restore").addEventListener("click", () => correct({ restore: true }));
window.addEventListener("resize", () => { if (state.array && !state.drag) drawMap(); });
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));

(async () => {
  try {
    const listing = await get("/api/arrays");
    Object.assign(state, { arrays: listing.arrays, writable: listing.writable });
    document.body.classList.toggle("writable", state.writable);
    $("array").replaceChildren(...state.arrays.map((a) => element("option", a.missing ? `${a.name} (${a.missing} missing)` : a.name, { value: a.id })));
    if (state.arrays.length) await openArray(state.arrays[0].id);
    else say("No slide of kind tma in slides.csv.");
  } catch (error) { say(error.message); }
})();
