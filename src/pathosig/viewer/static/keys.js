// Keys, as in QuPath where it has one for the same thing.
"use strict";

const KEYS = [
  [["j", "n"], "next slide", () => step(1)],
  [["k", "p"], "previous slide", () => step(-1)],
  [["o"], "tiles on or off", () => $("show-hpc").click()],
  [["t"], "tissue outline on or off", () => $("show-tissue").click()],
  [["s"], "only the HPC or coarse group under the pointer, or the chosen one; again for all", () => soloKey()],
  [["a"], "all HPCs or coarse groups", () => $("all").click()],
  [["c"], "colour by the next thing", () => nextColour()],
  [["["], "overlay fainter", () => fade(-10)],
  [["]"], "overlay stronger", () => fade(10)],
  [["+", "="], "zoom in", () => $("zoom-in").click()],
  [["-"], "zoom out", () => $("zoom-out").click()],
  [["h", "0"], "whole slide", () => $("home").click()],
  [["m"], "mini-map on or off", () => { osd.navigator.element.hidden = !osd.navigator.element.hidden; }],
  [["ArrowLeft"], "move left", () => pan(-0.2, 0)],
  [["ArrowRight"], "move right", () => pan(0.2, 0)],
  [["ArrowUp"], "move up", () => pan(0, -0.2)],
  [["ArrowDown"], "move down", () => pan(0, 0.2)],
  [["/"], "find a slide or patient", () => { pane("slides"); $("search").focus(); }],
  [["?"], "this help", () => $("help").showModal()],
  [["Escape"], "no mark, nothing alone", () => { state.mark = null; state.solo = null; legend(); repaint(); }],
];

function soloKey() {
  const key = hovered >= 0 ? unitsOfTiles()[hovered] : state.chosen;
  if (state.solo !== null) solo(state.solo);
  else if (key !== null) solo(key);
}

function nextColour() {
  const options = [...$("colour").options].filter((o) => !o.disabled);
  const at = options.findIndex((o) => o.value === $("colour").value);
  $("colour").value = options[(at + 1) % options.length].value;
  $("colour").dispatchEvent(new Event("input"));
}

function fade(by) {
  $("opacity").value = Number($("opacity").value) + by;
  draw();
  writeLink();
}

function pan(x, y) {
  const bounds = osd.viewport.getBounds();
  osd.viewport.panBy(new OpenSeadragon.Point(x * bounds.width, y * bounds.height)).applyConstraints();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input[type=text], input[type=search], select, textarea");
  const sliding = event.target.matches?.("input[type=range]") && event.key.startsWith("Arrow");
  if (event.key === "Escape" && event.target === $("search")) { $("search").blur(); return; }
  if (typing || sliding || event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const key = KEYS.find(([names]) => names.includes(event.key));
  if (!key || !state.study) return;
  event.preventDefault();
  event.stopPropagation();
  key[2]();
}, true);

$("keys").append(...KEYS.flatMap(([names, what]) => [element("dt", names.join(" or ").replaceAll("Arrow", "")), element("dd", what)]));
$("help-button").addEventListener("click", () => $("help").showModal());
$("help-close").addEventListener("click", () => $("help").close());
