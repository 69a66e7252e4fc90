// The frame: pages by the part of the address behind #, the namespace, the colours, the key.

import { all, get, onKeyWanted, useKey } from "/static/api.js";
import { fill, h, last, toast } from "/static/dom.js";
import { diagnostics } from "/static/diagnostics.js";
import { facts } from "/static/facts.js";
import { health } from "/static/health.js";
import { injections } from "/static/injections.js";
import { edits } from "/static/edits.js";
import { operations } from "/static/operations.js";
import { playground } from "/static/playground.js";
import { reviews } from "/static/reviews.js";

const PAGES = [
  ["playground", "Playground", playground],
  ["facts", "Facts", facts],
  ["reviews", "Reviews", reviews],
  ["injections", "Injections", injections],
  ["edits", "Edits", edits],
  ["diagnostics", "Diagnostics", diagnostics],
  ["operations", "Operations", operations],
  ["health", "Health", health],
];
const main = document.getElementById("main");
const chooser = document.getElementById("namespace");
let leave = new AbortController();
let ready = false; // the namespaces are known

/** The namespace that is looked at, as `namespaces/…`. */
const parent = () => `namespaces/${chooser.value}`;

/** A part of the address; as it stands where it is no encoded text. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function route() {
  if (!ready) return;
  const [, name = "", ...rest] = location.hash.split("/");
  const page = name ? PAGES.find(([id]) => id === name) || [name, "No such page", nowhere] : PAGES[0];
  leave.abort();
  leave = new AbortController();
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.hash === `#/${page[0]}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${page[1]} · Interleaf`;
  const place = h("div", { class: `page ${page[0]}` });
  fill(main, place);
  if (!chooser.value) {
    fill(place, h("h1", {}, page[1]), h("p", { class: "notice warn" }, "No namespace can be seen here. `interleaf namespaces create NAME` makes one; a key that may not list them needs its namespace named beside it."));
    return;
  }
  page[2]({ place, parent: parent(), rest: rest.map(decoded), signal: leave.signal, namespaces });
}

function nowhere({ place }) {
  fill(place, h("h1", {}, "No such page"), h("p", {}, "This address leads nowhere. ", h("a", { href: "#/playground" }, "To the playground")));
}

async function namespaces(wanted = chooser.value || localStorage.getItem("interleaf-namespace")) {
  const found = await all("/v1/namespaces", "namespaces").catch(ownNamespace);
  const names = found.map((space) => last(space.name));
  fill(chooser, names.map((name) => h("option", { value: name }, name)));
  chooser.value = names.includes(wanted) ? wanted : names.includes("default") ? "default" : names[0] || "";
  return found;
}

/** The one that was named with the key, where the key may not list them. */
async function ownNamespace(error) {
  const own = sessionStorage.getItem("interleaf-own-namespace");
  if (error.status !== "PERMISSION_DENIED" || !own) throw error;
  return [await get(`/v1/namespaces/${encodeURIComponent(own)}`)];
}

function theme() {
  const button = document.getElementById("theme");
  const show = () => button.setAttribute("aria-pressed", String(document.documentElement.dataset.theme === "dark"));
  button.addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("interleaf-theme", next);
    show();
  });
  show();
}

function keys() {
  const dialog = document.getElementById("key-dialog");
  const input = document.getElementById("key-input");
  const own = document.getElementById("key-namespace");
  const problem = document.getElementById("key-problem");
  let waiting = null;
  const ask = (wrong = false) => {
    waiting ||= new Promise((resolve) => {
      input.value = "";
      dialog.showModal();
      problem.hidden = !wrong;
      fill(problem, wrong ? "That key is not known." : "");
      dialog.addEventListener("close", () => {
        waiting = null;
        useKey(input.value);
        sessionStorage.setItem("interleaf-own-namespace", own.value.trim());
        resolve(Boolean(input.value.trim()));
      }, { once: true });
    });
    document.getElementById("key").hidden = false;
    return waiting;
  };
  onKeyWanted(ask);
  document.getElementById("key").addEventListener("click", async () => (await ask()) && start());
}

async function start() {
  try {
    await namespaces();
  } catch (error) {
    toast(error.message, "bad");
  }
  ready = true;
  route();
}

fill(document.getElementById("nav"), PAGES.map(([id, title]) => h("a", { href: `#/${id}` }, title)));
chooser.addEventListener("change", () => {
  localStorage.setItem("interleaf-namespace", chooser.value);
  if (location.hash.split("/").length > 2) location.hash = `#/${location.hash.split("/")[1]}`;
  else route();
});
addEventListener("hashchange", () => {
  route();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
theme();
keys();
start();
