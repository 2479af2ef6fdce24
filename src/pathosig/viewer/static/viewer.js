// The page of the pathosig viewer. Every text from the study is set with textContent, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const state = {
  study: null, slide: null, info: null, tiles: null, rings: [], shown: new Set(), chosen: null, mark: null, asked: 0,
};

const osd = OpenSeadragon({
  element: $("view"), drawer: "canvas", showNavigationControl: false, showNavigator: false, maxZoomPixelRatio: 4, visibilityRatio: 0.4,
  animationTime: 0.4, imageLoaderLimit: 4, crossOriginPolicy: false, gestureSettingsMouse: { clickToZoom: false },
});

function element(name, text, attributes) {
  const node = document.createElement(name);
  if (text !== undefined && text !== null) node.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  return node;
}

async function get(path) {
  const answer = await fetch(path, { credentials: "same-origin" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error || `The viewer answered ${answer.status}.`);
  return body;
}

function say(text) { $("message").textContent = text || ""; }

// -- list of slides ---------------------------------------------------------------------------
function listSlides() {
  const wanted = $("search").value.trim().toLowerCase();
  const cohort = $("cohort").value;
  const order = $("order").value;
  const rows = state.study.slides.filter((s) =>
    (!cohort || s.cohort === cohort) &&
    (!wanted || s.name.toLowerCase().includes(wanted) || s.patient.toLowerCase().includes(wanted)));
  const score = (s) => (s.score === null ? -Infinity : s.score);
  rows.sort((a, b) => (order === "score" ? score(b) - score(a) : 0) ||
    (order === "patient" ? a.patient.localeCompare(b.patient) : 0) || a.name.localeCompare(b.name));
  $("slides").replaceChildren(...rows.map(slideItem));
}

function slideItem(slide) {
  const item = element("li");
  const button = element("button", null, { "aria-current": String(state.slide === slide), "data-slide": slide.id });
  button.append(element("span", slide.name), document.createTextNode(" "));
  if (slide.group) button.append(element("span", slide.group, { class: `badge ${slide.group}` }));
  const facts = [`patient ${slide.patient}`, slide.cohort, slide.score === null ? null : `score ${slide.score.toFixed(2)}`];
  if (slide.status !== "ok") facts.push(slide.status);
  button.append(element("br"), element("span", facts.filter(Boolean).join(" · "), { class: "small" }));
  button.addEventListener("click", () => openSlide(slide));
  item.append(button);
  return item;
}

// -- one slide --------------------------------------------------------------------------------
async function openSlide(slide, then) {
  if (state.slide === slide && state.info) { if (then) then(); return; }
  const asked = ++state.asked;
  Object.assign(state, { slide, info: null, tiles: null, rings: [], mark: null });
  listSlides();
  osd.close();
  draw();
  say("");
  $("name").textContent = slide.name;
  $("facts").textContent = "";
  $("tile").textContent = "";
  const base = `/api/slides/${slide.id}`;
  try {
    const info = await get(base);
    if (asked !== state.asked) return;
    state.info = info;
    const mpp = info.mpp ? `, ${info.mpp.toFixed(3)} µm per pixel` : "";
    $("facts").textContent = `${info.width} × ${info.height} px${mpp}`;
    osd.addOnceHandler("open", () => { if (then) then(); });
    osd.open({
      width: info.width, height: info.height, tileSize: info.tile_size, minLevel: 0, maxLevel: info.max_level,
      getTileUrl: (level, x, y) => `${base}/tiles/${level}/${x}/${y}.jpg`,
    });
    const [tiles, tissue] = await Promise.all([get(`${base}/overlay`), get(`${base}/tissue`)]);
    if (asked !== state.asked) return;
    state.tiles = tiles;
    state.rings = tissue.rings;
    legend();
    draw();
  } catch (error) {
    if (asked === state.asked) say(error.message);
  }
}

// -- overlay ----------------------------------------------------------------------------------
function draw() {
  const canvas = $("overlay");
  const view = $("view");
  const ratio = window.devicePixelRatio || 1;
  canvas.style.left = `${view.offsetLeft}px`;
  canvas.style.top = `${view.offsetTop}px`;
  canvas.style.width = `${view.clientWidth}px`;
  canvas.style.height = `${view.clientHeight}px`;
  canvas.width = Math.round(view.clientWidth * ratio);
  canvas.height = Math.round(view.clientHeight * ratio);
  const item = osd.world.getItemAt(0);
  $("scale").hidden = !(item && state.info && state.info.mpp);
  if (!item || !state.info) return;
  const zero = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(0, 0));
  const one = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(1000, 0));
  const scale = (one.x - zero.x) / 1000;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * zero.x, ratio * zero.y);
  if (state.tiles && $("show-hpc").checked) drawTiles(pen, zero, scale, view);
  if ($("show-tissue").checked) drawRings(pen, scale);
  if (state.mark) {
    pen.strokeStyle = "#111";
    pen.lineWidth = 3 / scale;
    pen.strokeRect(state.mark.x, state.mark.y, state.mark.width, state.mark.width);
  }
  if (state.info.mpp) drawScale(scale);
}

function drawTiles(pen, zero, scale, view) {
  const { x, y, hpc, width } = state.tiles;
  const left = -zero.x / scale - width, top = -zero.y / scale - width;
  const right = (view.clientWidth - zero.x) / scale, bottom = (view.clientHeight - zero.y) / scale;
  pen.globalAlpha = $("opacity").value / 100;
  const inset = Math.min(width * 0.02, 1 / scale);
  for (let i = 0; i < x.length; i++) {
    if (x[i] < left || x[i] > right || y[i] < top || y[i] > bottom || !state.shown.has(hpc[i])) continue;
    pen.fillStyle = state.study.hpcs[hpc[i]].colour;
    pen.fillRect(x[i] + inset, y[i] + inset, width - 2 * inset, width - 2 * inset);
  }
  pen.globalAlpha = 1;
}

function drawRings(pen, scale) {
  pen.strokeStyle = "#00a36c";
  pen.lineWidth = 2 / scale;
  for (const ring of state.rings) {
    pen.beginPath();
    ring.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.stroke();
  }
}

function drawScale(scale) {
  const micrometres = (120 / scale) * state.info.mpp;
  const power = 10 ** Math.floor(Math.log10(micrometres));
  const size = [5, 2, 1].map((m) => m * power).find((s) => s <= micrometres) || power;
  $("scale-bar").style.width = `${(size / state.info.mpp) * scale}px`;
  $("scale-text").textContent = size >= 1000 ? `${size / 1000} mm` : `${size} µm`;
}

// -- legend and atlas -------------------------------------------------------------------------
function legend() {
  const counts = new Map();
  for (const h of state.tiles ? state.tiles.hpc : []) counts.set(h, (counts.get(h) || 0) + 1);
  const commonFirst = [...state.study.hpcs].sort((a, b) => (counts.get(b.hpc) || 0) - (counts.get(a.hpc) || 0));
  $("legend").replaceChildren(...commonFirst.map((hpc) => {
    const item = element("li", null, counts.has(hpc.hpc) ? {} : { class: "absent" });
    const box = element("input", null, { type: "checkbox", "aria-label": `Show ${hpc.name}` });
    box.checked = state.shown.has(hpc.hpc);
    box.addEventListener("change", () => {
      if (box.checked) state.shown.add(hpc.hpc); else state.shown.delete(hpc.hpc);
      draw();
    });
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, value] of Object.entries({ width: 14, height: 14, rx: 2, fill: hpc.colour })) rect.setAttribute(key, value);
    svg.append(rect);
    const name = element("button", hpc.artefact ? `${hpc.name} (artefact)` : hpc.name,
      { "aria-pressed": String(state.chosen === hpc.hpc), "data-hpc": hpc.hpc });
    name.addEventListener("click", () => { state.chosen = hpc.hpc; legend(); atlas(); });
    item.append(box, svg, name, element("span", counts.get(hpc.hpc) || "", { class: "count" }));
    return item;
  }));
}

function atlas() {
  const found = state.study.exemplars.filter((e) => e.hpc === state.chosen);
  const hint = state.chosen === null ? "Choose an HPC, or click a tile, to see the HPC's most typical tiles."
    : found.length ? `${state.study.hpcs[state.chosen].name}: most typical tiles` : "No exemplars of this HPC.";
  $("atlas-hint").textContent = hint;
  $("atlas").replaceChildren(...found.map((e) => {
    const slide = state.study.slides.find((s) => s.id === e.slide);
    const button = element("button", null, { title: `${slide.name}: go there`, "data-exemplar": e.index });
    button.append(element("img", null, { src: `/api/exemplars/${e.index}.jpg`, alt: `Tile of ${slide.name}`, loading: "lazy" }));
    button.addEventListener("click", () => openSlide(slide, () => jump(e)));
    return button;
  }));
}

// A click on a tile says what it is and shows the HPC's typical tiles; elsewhere it zooms as usual.
function pick(event) {
  const item = osd.world.getItemAt(0);
  if (!event.quick || !item || !state.tiles || !$("show-hpc").checked) return;
  const point = item.viewerElementToImageCoordinates(event.position);
  const { x, y, hpc, confidence, width } = state.tiles;
  const i = x.findIndex((left, n) => state.shown.has(hpc[n])
    && point.x >= left && point.x < left + width && point.y >= y[n] && point.y < y[n] + width);
  if (i < 0) return;
  event.preventDefaultAction = true;
  state.mark = { x: x[i], y: y[i], width };
  state.chosen = hpc[i];
  $("tile").textContent = `${state.study.hpcs[hpc[i]].name}, confidence ${confidence[i].toFixed(2)}`;
  legend();
  atlas();
  draw();
}

function jump(e) {
  const item = osd.world.getItemAt(0);
  if (!item) return;
  state.mark = e;
  const pad = e.width * 1.5;
  osd.viewport.fitBounds(item.imageToViewportRectangle(e.x - pad, e.y - pad, e.width + 2 * pad, e.width + 2 * pad));
  draw();
}

// -- start ------------------------------------------------------------------------------------
osd.addHandler("canvas-click", pick);
for (const name of ["open", "update-viewport", "resize", "animation"]) osd.addHandler(name, draw);
window.addEventListener("resize", draw);
for (const id of ["search", "cohort", "order"]) $(id).addEventListener("input", listSlides);
for (const id of ["show-hpc", "show-tissue", "opacity"]) $(id).addEventListener("input", draw);
$("zoom-in").addEventListener("click", () => osd.viewport.zoomBy(1.6).applyConstraints());
$("zoom-out").addEventListener("click", () => osd.viewport.zoomBy(1 / 1.6).applyConstraints());
$("home").addEventListener("click", () => osd.viewport.goHome());
$("all").addEventListener("click", () => { state.shown = new Set(state.study.hpcs.map((h) => h.hpc)); legend(); draw(); });
$("none").addEventListener("click", () => { state.shown.clear(); legend(); draw(); });

(async () => {
  history.replaceState(null, "", "/");
  state.study = await get("/api/study");
  document.title = `${state.study.title} · pathosig viewer`;
  $("title").textContent = state.study.title;
  const cohorts = [...new Set(state.study.slides.map((s) => s.cohort).filter(Boolean))];
  $("cohort").append(element("option", "all cohorts", { value: "" }), ...cohorts.map((c) => element("option", c, { value: c })));
  state.shown = new Set(state.study.hpcs.map((h) => h.hpc));
  listSlides();
  legend();
  if (state.study.slides.length) openSlide(state.study.slides[0]);
  else say("This study has no slides: it was made from a feature table.");
})().catch((error) => say(error.message));
