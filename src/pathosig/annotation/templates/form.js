
"use strict";
const body = document.body;
const state = document.getElementById("state");
let unsaved = false;

const chosen = (box) => { const mark = box.querySelector("input[type=radio]:checked"); return mark ? mark.value : ""; };
const questions = (kind) => [...document.querySelectorAll(`fieldset.${kind}`)];

function answers() {
  const panels = questions("panel").map((box) => {
    const answer = { artefact: chosen(box) };
    for (const field of box.querySelectorAll("[data-answer]")) answer[field.dataset.answer] = field.value.trim();
    return answer;
  });
  const odd = questions("odd").map((box) => { const place = chosen(box); return place === "" ? -1 : Number(place); });
  return { kind: "pathosig annotation", form: body.dataset.form, reader: body.dataset.reader, panels, odd };
}

function count() {
  const given = answers();
  const open = given.odd.filter((place) => place < 0).length
    + given.panels.filter((p) => !(p.tissue && p.pattern && p.artefact)).length;
  return open ? `${open} questions are open.` : "All questions are answered.";
}

function save() {
  const file = new Blob([JSON.stringify(answers(), null, 1) + "\n"], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = `answers-${body.dataset.form}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  unsaved = false;
  state.textContent = `Saved as ${link.download}. ${count()}`;
}

function mark(box, value) {
  for (const field of box.querySelectorAll("input[type=radio]")) field.checked = field.value === String(value);
}

async function load(event) {
  const file = event.target.files[0];
  if (!file) return;
  try {
    const given = JSON.parse(await file.text());
    if (given.form !== body.dataset.form) throw new Error("another form");
    questions("odd").forEach((box, i) => mark(box, given.odd[i]));
    questions("panel").forEach((box, i) => {
      mark(box, given.panels[i].artefact);
      for (const field of box.querySelectorAll("[data-answer]")) field.value = given.panels[i][field.dataset.answer];
    });
    state.textContent = `Loaded. ${count()}`;
  } catch (error) {
    state.textContent = "This file does not contain answers to this form.";
  }
}

document.getElementById("save").addEventListener("click", save);
document.getElementById("load").addEventListener("change", load);
document.addEventListener("input", (event) => {
  if (event.target.id === "load") return;
  unsaved = true;
  state.textContent = count();
});
window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
