// pathosig viewer: state, list of slides, opening a slide, links into it.
// Every text from the study is set with textContent, never as HTML.
"use strict";

const state = {
  study: null, slide: null, info: null, tiles: null, rings: [], shown: new Set(), solo: null, chosen: null, mark: null,
  asked: 0, listed: [], grid: null,
};

const osd = OpenSeadragon({
  element: $("view"), drawer: "canvas", showNavigationControl: false, showNavigator: true, navigatorPosition: "TOP_RIGHT",
  navigatorSizeRatio: 0.16, navigatorAutoFade: false, maxZoomPixelRatio: 4, visibilityRatio: 0.4,
  animationTime: 0.4, imageLoaderLimit: 4, crossOriginPolicy: false, gestureSettingsMouse: { clickToZoom: false },
});

const number = (value, digits = 2) => value.toFixed(digits).replace("-", "−");

// A cohort as printed: validation_1 becomes Validation 1.
const cohortTitle = (name) => { const text = name.replaceAll("_", " ").trim(); return text.slice(0, 1).toUpperCase() + text.slice(1); };

// -- list of slides ---------------------------------------------------------------------------
function listSlides() {
  const wanted = $("search").value.trim().toLowerCase();
  const cohort = $("cohort").value, group = $("group").value, order = $("order").value;
  const rows = state.study.slides.filter((s) =>
    (!cohort || s.cohort === cohort) && (!group || s.group === group) &&
    (!wanted || s.name.toLowerCase().includes(wanted) || s.patient.toLowerCase().includes(wanted)));
  const score = (s) => (s.score === null ? -Infinity : s.score);
  rows.sort((a, b) => (order === "score" ? score(b) - score(a) : 0) ||
    (order === "patient" ? a.patient.localeCompare(b.patient) : 0) || a.name.localeCompare(b.name));
  state.listed = rows;
  $("listed").textContent = `${rows.length} of ${state.study.slides.length} ${state.study.slides.length === 1 ? "slide" : "slides"}`;
  $("slides").replaceChildren(...rows.map(slideItem));
}

function slideItem(slide) {
  const thumbnail = element("img", null, { src: `/api/slides/${slide.id}/thumbnail.jpg`, alt: "", loading: "lazy", width: 48, height: 48 });
  thumbnail.addEventListener("error", () => thumbnail.classList.add("gone"));
  const text = element("span", null, { class: "text" }, element("span", slide.name, { class: "slide-name" }), document.createTextNode(" "));
  if (slide.group) text.append(element("span", slide.group, { class: `badge ${slide.group.split(" ")[0]}` }));
  const facts = [`patient ${slide.patient}`, slide.cohort && cohortTitle(slide.cohort), slide.score === null ? null : `score ${number(slide.score)}`];
  if (slide.status !== "ok") facts.push(slide.status);
  text.append(element("br"), element("span", facts.filter(Boolean).join(" · "), { class: "small" }));
  const button = element("button", null, { "aria-current": String(state.slide === slide), "data-slide": slide.id }, thumbnail, text);
  button.addEventListener("click", () => { openSlide(slide); pane("view"); });
  return element("li", null, {}, button);
}

function step(by) {
  const at = state.listed.indexOf(state.slide);
  const next = state.listed[at + by];
  if (!next) return;
  openSlide(next);
  document.querySelector(`[data-slide="${next.id}"]`)?.scrollIntoView({ block: "nearest" });
}

// -- one slide --------------------------------------------------------------------------------
async function openSlide(slide, then) {
  if (state.slide === slide && state.info) { if (then) then(); return; }
  const asked = ++state.asked;
  Object.assign(state, { slide, info: null, tiles: null, grid: null, rings: [], mark: null });
  for (const button of document.querySelectorAll("#slides button")) button.setAttribute("aria-current", String(button.dataset.slide === slide.id));
  osd.close();
  draw();
  say("");
  $("name").textContent = slide.name;
  $("facts").textContent = "";
  $("tile").textContent = "";
  showPatient(slide, null);
  $("nearest").replaceChildren();
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
    const [block, tissue, patient] = await Promise.all([
      ask(`${base}/overlay`).then((a) => a.arrayBuffer()), get(`${base}/tissue`), get(`${base}/patient`)]);
    if (asked !== state.asked) return;
    state.tiles = unpack(block);
    offerColours(state.tiles.has);
    state.rings = tissue.rings;
    showPatient(slide, patient);
    paint();
    legend();
    draw();
    nearest(slide);
  } catch (error) {
    if (asked === state.asked) say(error.message);
  }
}

// The block of numbers that `content.overlay` packs.
function unpack(block) {
  const length = new DataView(block).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(block, 4, length)));
  const kinds = { i4: Int32Array, i2: Int16Array, f4: Float32Array };
  const tiles = { n: head.n, width: head.width, has: head.has };
  let at = 4 + length;
  for (const [name, kind] of head.columns) {
    tiles[name] = new kinds[kind](block, at, head.n);
    at += Math.ceil(tiles[name].byteLength / 8) * 8;
  }
  return tiles;
}

function jump(e) {
  const item = osd.world.getItemAt(0);
  if (!item) return;
  state.mark = e;
  const pad = e.width * 1.5;
  osd.viewport.fitBounds(item.imageToViewportRectangle(e.x - pad, e.y - pad, e.width + 2 * pad, e.width + 2 * pad));
  draw();
}

// Numbers that the tiles of this slide lack cannot colour them.
function offerColours(ofTiles) {
  const has = { ...ofTiles, risk: state.study.hpcs.some((h) => h.weight), coarse: state.study.groups.length > 0 };
  for (const option of $("colour").options) option.disabled = has[option.value] === false;
  if (!$("colour").selectedOptions[0].disabled) return;
  $("colour").value = "hpc";
  if (grouped) showAll();
}

// -- links: the address restores the view ---------------------------------------------------------
// slide and place (x, y, zoom; or mark, a square in level-0 pixels), how tiles are coloured and which are shown
// (colour, solo or shown), what is switched off or faded (off, opacity), and how slides are listed (cohort, group, order, search).
const FILTERS = ["search", "cohort", "group", "order"], SWITCHES = ["show-hpc", "show-tissue"];
const usual = { order: "name", opacity: "45" };
let written = 0;
function writeLink() {
  clearTimeout(written);
  written = setTimeout(() => { if (state.slide && osd.world.getItemAt(0)) history.replaceState(null, "", `/#${linkOfView()}`); }, 100);
}

function linkOfView() {
  const link = new URLSearchParams();
  const centre = osd.viewport.getCenter();
  const parts = { slide: state.slide.name, x: centre.x.toFixed(5), y: centre.y.toFixed(5), zoom: osd.viewport.getZoom().toFixed(3), colour: $("colour").value };
  for (const [key, value] of Object.entries(parts)) link.set(key, value);
  if (state.mark) link.set("mark", [state.mark.x, state.mark.y, state.mark.width].join());
  if (state.solo !== null) link.set("solo", state.solo);
  else if (state.shown.size < units().length) link.set("shown", [...state.shown].join());
  const off = SWITCHES.filter((id) => !$(id).checked);
  if (off.length) link.set("off", off.join());
  for (const id of ["opacity", ...FILTERS]) if ($(id).value !== (usual[id] ?? "")) link.set(id, $(id).value);
  return link;
}

const numbersOf = (text) => (text || "").split(",").filter(Boolean).map(Number);
const offered = (select, value) => [...select.options].some((o) => o.value === value && !o.disabled);

function followLink(link) {
  for (const id of FILTERS) {
    const value = link.get(id) ?? usual[id] ?? "";
    if (!$(id).options || offered($(id), value)) $(id).value = value;
  }
  listSlides();
  const slide = state.study.slides.find((s) => s.name === link.get("slide"));
  if (!slide) return false;
  if (offered($("colour"), link.get("colour"))) $("colour").value = link.get("colour");
  showAll();
  if (link.has("solo")) state.solo = Number(link.get("solo"));
  if (link.has("shown")) state.shown = new Set(numbersOf(link.get("shown")));
  const off = (link.get("off") || "").split(",");
  for (const id of SWITCHES) $(id).checked = !off.includes(id);
  $("opacity").value = link.get("opacity") ?? usual.opacity;
  legend();
  openSlide(slide, () => goTo(link));
  return true;
}

function goTo(link) {
  repaint();
  const mark = numbersOf(link.get("mark")), [x, y, zoom] = ["x", "y", "zoom"].map((k) => Number(link.get(k)));
  if (mark.length === 3 && mark.every(Number.isFinite)) {
    state.mark = { x: mark[0], y: mark[1], width: mark[2] };
    if (!link.has("zoom")) { jump(state.mark); return; }
  }
  if (!link.has("zoom") || ![x, y, zoom].every(Number.isFinite) || zoom <= 0) return;
  osd.viewport.zoomTo(zoom, null, true);
  osd.viewport.panTo(new OpenSeadragon.Point(x, y), true);
}

function pane(name) {
  document.body.dataset.pane = name;
  for (const button of document.querySelectorAll("#panes button")) button.setAttribute("aria-pressed", String(button.dataset.pane === name));
  requestAnimationFrame(draw);
}

// -- start, once all scripts are there ----------------------------------------------------------
window.addEventListener("load", async () => {
  try {
    const link = new URLSearchParams(location.hash.slice(1));
    history.replaceState(null, "", `/${location.hash}`); // the token leaves the address
    state.study = await get("/api/study");
    document.title = `${state.study.title} · pathosig viewer`;
    const cohorts = [...new Set(state.study.slides.map((s) => s.cohort).filter(Boolean))];
    $("cohort").append(element("option", "all cohorts", { value: "" }), ...cohorts.map((c) => element("option", cohortTitle(c), { value: c })));
    showAll();
    offerColours({});
    $("signature-only").hidden = !state.study.hpcs.some((h) => h.weight);
    legend();
    atlas();
    if (followLink(link)) return;
    if (state.listed.length) openSlide(state.listed[0]);
    else say("This study has no slides: its features come from a table.");
  } catch (error) {
    say(error.message);
  }
});
window.addEventListener("hashchange", () => { if (state.study) followLink(new URLSearchParams(location.hash.slice(1))); });
for (const id of FILTERS) $(id).addEventListener("input", () => { listSlides(); writeLink(); });
for (const button of document.querySelectorAll("#panes button")) button.addEventListener("click", () => pane(button.dataset.pane));
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
