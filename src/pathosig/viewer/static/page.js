// What all pages of the viewer share: elements, requests, the line for messages.
// Every text from the study is set with textContent, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);

function element(name, text, attributes, ...children) {
  const node = document.createElement(name);
  if (text !== undefined && text !== null) node.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

async function ask(path, options) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Error(body.error || `The viewer answered ${answer.status}.`);
  }
  return answer;
}
const get = async (path) => (await ask(path)).json();

function say(text) { $("message").textContent = text || ""; }
