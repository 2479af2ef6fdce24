// The overlay: tiles as one small image that is scaled over the slide, or as outlines when one looks closely.
// A million tiles are painted once per change of colours; showing and hiding is one drawImage.
"use strict";

const FILL_UP_TO = 90; // screen pixels of a tile beyond which it is outlined, so that the tissue can be seen
const NEUTRAL = [236, 236, 236];
const HARMFUL = [213, 94, 0], PROTECTIVE = [0, 114, 178];
const RAMP = [[253, 231, 37], [94, 201, 98], [33, 145, 140], [59, 82, 139], [68, 1, 84]]; // viridis, light to dark

const bytes = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const hex = (rgb) => `#${rgb.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("")}`;
const mix = (a, b, t) => a.map((v, i) => v + (b[i] - v) * t);

function ramp(t) {
  const place = Math.min(Math.max(t, 0), 1) * (RAMP.length - 1), i = Math.min(Math.floor(place), RAMP.length - 2);
  return mix(RAMP[i], RAMP[i + 1], place - i);
}

const heaviest = () => Math.max(...state.study.hpcs.map((h) => Math.abs(h.weight)), 1e-12);

function riskColour(weight, top) {
  const level = weight / top;
  return mix(NEUTRAL, level > 0 ? HARMFUL : PROTECTIVE, Math.sqrt(Math.abs(level)));
}

// What is listed, shown and hidden: coarse groups when tiles are coloured by them, HPCs otherwise.
const byGroup = () => $("colour").value === "coarse";
const units = () => (byGroup() ? state.study.groups : state.study.hpcs);
const numberOf = (unit) => unit.hpc ?? unit.coarse;
const unitsOfTiles = () => (byGroup() ? state.tiles.coarse : state.tiles.hpc);

// Colour of an HPC or coarse group in the present mode; numbers of single tiles are coloured by `tileColours`.
function unitColour(unit) {
  return $("colour").value === "risk" ? hex(riskColour(unit.weight, heaviest())) : unit.colour;
}

function tileColours() {
  const mode = $("colour").value, tiles = state.tiles;
  if (["hpc", "coarse", "risk"].includes(mode)) {
    const table = units().map((u) => bytes(unitColour(u))), numbers = unitsOfTiles();
    return (i) => table[numbers[i]];
  }
  const values = tiles[mode], top = mode === "distance" ? 2 : 1; // beyond a distance of 1 a tile is unlike those of the training
  return (i) => ramp(mode === "confidence" ? 1 - values[i] : values[i] / top);
}

const visible = (number) => number >= 0 && (state.solo === null ? state.shown.has(number) : state.solo === number);

// One pixel per tile of the grid; null where tiles do not lie on one (then they are drawn one by one).
function paint() {
  state.grid = null;
  const tiles = state.tiles;
  if (!tiles || !tiles.n) { colourBar(); return; }
  const [x0, y0] = [tiles.x, tiles.y].map((v) => v.reduce((a, b) => Math.min(a, b)));
  const step = tiles.width;
  let columns = 0, rows = 0, regular = true;
  for (let i = 0; i < tiles.n && regular; i++) {
    const c = (tiles.x[i] - x0) / step, r = (tiles.y[i] - y0) / step;
    regular = Math.abs(c - Math.round(c)) < 0.05 && Math.abs(r - Math.round(r)) < 0.05;
    columns = Math.max(columns, Math.round(c) + 1);
    rows = Math.max(rows, Math.round(r) + 1);
  }
  colourBar();
  if (!regular || columns * rows > 3e7) return;
  const image = new ImageData(columns, rows), colour = tileColours(), numbers = unitsOfTiles();
  for (let i = 0; i < tiles.n; i++) {
    if (!visible(numbers[i])) continue;
    const at = 4 * (Math.round((tiles.y[i] - y0) / step) * columns + Math.round((tiles.x[i] - x0) / step));
    const rgb = colour(i);
    image.data[at] = rgb[0]; image.data[at + 1] = rgb[1]; image.data[at + 2] = rgb[2]; image.data[at + 3] = 255;
  }
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  canvas.getContext("2d").putImageData(image, 0, 0);
  state.grid = { canvas, x: x0, y: y0, step };
}

function colourBar() {
  const mode = $("colour").value, legend = $("colour-bar");
  legend.hidden = ["hpc", "coarse"].includes(mode) || !state.tiles;
  if (legend.hidden) return;
  const ends = { risk: ["lower risk", "higher risk"], confidence: ["certain", "uncertain"], distance: ["like training", "unlike"], quality: ["clean", "artefact"] };
  [$("colour-low").textContent, $("colour-high").textContent] = ends[mode];
  const pen = $("colour-ramp").getContext("2d");
  for (let i = 0; i < 120; i++) {
    pen.fillStyle = hex(mode === "risk" ? riskColour((i - 59.5) / 59.5, 1) : ramp(i / 119));
    pen.fillRect(i, 0, 1, 10);
  }
}

function draw() {
  const canvas = $("overlay"), view = $("view"), ratio = window.devicePixelRatio || 1;
  canvas.style.left = `${view.offsetLeft}px`;
  canvas.style.top = `${view.offsetTop}px`;
  canvas.style.width = `${view.clientWidth}px`;
  canvas.style.height = `${view.clientHeight}px`;
  canvas.width = Math.round(view.clientWidth * ratio);
  canvas.height = Math.round(view.clientHeight * ratio);
  const item = osd.world.getItemAt(0);
  $("scale").hidden = !(item && state.info && state.info.mpp);
  if (!item || !state.info || !view.clientWidth) return;
  const zero = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(0, 0));
  const one = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(1000, 0));
  const scale = (one.x - zero.x) / 1000;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * zero.x, ratio * zero.y);
  if (state.tiles && state.tiles.n && $("show-hpc").checked) drawTiles(pen, zero, scale, view);
  if ($("show-tissue").checked) drawRings(pen, scale);
  if (state.mark) {
    pen.strokeStyle = "#111";
    pen.lineWidth = 3 / scale;
    pen.strokeRect(state.mark.x, state.mark.y, state.mark.width, state.mark.width);
  }
  if (state.info.mpp) drawScale(scale);
}

function drawTiles(pen, zero, scale, view) {
  const { x, y, width, n } = state.tiles, numbers = unitsOfTiles();
  const closer = osd.viewport.getZoom() > 1.5 * osd.viewport.getHomeZoom();
  const outlined = closer && width * scale > FILL_UP_TO;
  pen.globalAlpha = $("opacity").value / 100;
  if (state.grid && !outlined) {
    const { canvas, x: left, y: top, step } = state.grid;
    pen.imageSmoothingEnabled = false;
    pen.drawImage(canvas, left, top, canvas.width * step, canvas.height * step);
    pen.globalAlpha = 1;
    return;
  }
  const left = -zero.x / scale - width, top = -zero.y / scale - width;
  const right = (view.clientWidth - zero.x) / scale, bottom = (view.clientHeight - zero.y) / scale;
  const colour = tileColours(), line = 3 / scale;
  if (outlined) pen.globalAlpha = Math.min(1, 0.35 + $("opacity").value / 100);
  for (let i = 0; i < n; i++) {
    if (x[i] < left || x[i] > right || y[i] < top || y[i] > bottom || !visible(numbers[i])) continue;
    const rgb = hex(colour(i));
    if (outlined) {
      pen.strokeStyle = rgb;
      pen.lineWidth = line;
      pen.strokeRect(x[i] + line, y[i] + line, width - 2 * line, width - 2 * line);
    } else {
      pen.fillStyle = rgb;
      pen.fillRect(x[i], y[i], width, width);
    }
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
  const most = Math.min(120, $("view").clientWidth / 4);
  const micrometres = (most / scale) * state.info.mpp;
  const power = 10 ** Math.floor(Math.log10(micrometres));
  const size = [5, 2, 1].map((m) => m * power).find((s) => s <= micrometres) || power;
  $("scale-bar").style.width = `${(size / state.info.mpp) * scale}px`;
  $("scale-text").textContent = size >= 1000 ? `${size / 1000} mm` : `${size} µm`;
}

// -- which tile ---------------------------------------------------------------------------------
function tileAt(position) {
  const item = osd.world.getItemAt(0);
  if (!item || !state.tiles) return -1;
  const point = item.viewerElementToImageCoordinates(position);
  const { x, y, width, n } = state.tiles, numbers = unitsOfTiles();
  for (let i = 0; i < n; i++) {
    if (point.x >= x[i] && point.x < x[i] + width && point.y >= y[i] && point.y < y[i] + width && visible(numbers[i])) return i;
  }
  return -1;
}

const unitName = (unit) => `${unit.label} ${unit.given}`.trim();

function tileText(i) {
  const tiles = state.tiles, hpc = state.study.hpcs[tiles.hpc[i]], group = state.study.groups[tiles.coarse[i]];
  const parts = [unitName(hpc)];
  if (group) parts.push(unitName(group));
  parts.push(`confidence ${tiles.confidence[i].toFixed(2)}`);
  if (hpc.weight) parts.push(`weight ${hpc.weight > 0 ? "+" : ""}${number(hpc.weight)}`);
  if (tiles.has.distance) parts.push(`distance to training ${tiles.distance[i].toFixed(2)}${tiles.distance[i] > 1 ? " (unlike)" : ""}`);
  if (tiles.has.quality) parts.push(`artefact ${tiles.quality[i].toFixed(2)}`);
  return parts.join(", ");
}

// A click on a tile shows what it is and typical tiles of its HPC or coarse group; elsewhere it zooms as usual.
function pick(event) {
  if (!event.quick || !$("show-hpc").checked) return;
  const i = tileAt(event.position);
  if (i < 0) return;
  event.preventDefaultAction = true;
  state.mark = { x: state.tiles.x[i], y: state.tiles.y[i], width: state.tiles.width };
  state.chosen = unitsOfTiles()[i];
  $("tile").textContent = tileText(i);
  legend();
  atlas();
  draw();
  writeLink();
}

let hovered = -1;
function hover(event) {
  const box = $("view").getBoundingClientRect(), readout = $("readout");
  hovered = $("show-hpc").checked ? tileAt(new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top)) : -1;
  readout.hidden = hovered < 0;
  if (hovered >= 0) readout.textContent = tileText(hovered);
}

function repaint() { paint(); draw(); writeLink(); }

osd.addHandler("canvas-click", pick);
for (const name of ["open", "update-viewport", "resize", "animation"]) osd.addHandler(name, draw);
osd.addHandler("animation-finish", writeLink);
osd.addHandler("open", () => setTimeout(writeLink, 50));
window.addEventListener("resize", draw);
let waiting = false;
$("view").addEventListener("pointermove", (event) => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; hover(event); });
});
$("view").addEventListener("pointerleave", () => { $("readout").hidden = true; });
for (const id of ["show-hpc", "show-tissue", "opacity"]) $(id).addEventListener("input", () => { draw(); writeLink(); });
let grouped = false;
$("colour").addEventListener("input", () => {
  if (byGroup() !== grouped) { showAll(); state.chosen = null; atlas(); }
  repaint();
  legend();
});
function showAll() {
  grouped = byGroup();
  state.solo = null;
  state.shown = new Set(units().map(numberOf));
}
$("zoom-in").addEventListener("click", () => osd.viewport.zoomBy(1.6).applyConstraints());
$("zoom-out").addEventListener("click", () => osd.viewport.zoomBy(1 / 1.6).applyConstraints());
$("home").addEventListener("click", () => osd.viewport.goHome());
$("all").addEventListener("click", () => { showAll(); legend(); repaint(); });
$("none").addEventListener("click", () => { state.solo = null; state.shown.clear(); legend(); repaint(); });
$("signature-only").addEventListener("click", () => {
  state.solo = null;
  state.shown = new Set(units().filter((u) => (byGroup() ? state.study.hpcs.some((h) => h.weight && h.coarse === u.coarse) : u.weight)).map(numberOf));
  legend();
  repaint();
});
