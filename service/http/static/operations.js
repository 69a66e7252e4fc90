// Long-running operations: how they stand, and their end.

import { all, post, remove } from "/static/api.js";
import { busy, count, fill, h, last, toast } from "/static/dom.js";
import { pictures } from "/static/pictures.js";

const EVERY = 2000;

export async function operations({ place, parent, signal }) {
  const rows = h("div", { class: "cards" });
  const told = h("p", { class: "soft", role: "status" });
  const reindex = h("button", { type: "button", onclick: () => busy(reindex, async () => {
    await post(`/v1/${parent}:reindex`, {});
    toast("Started.");
    await show();
  }) }, `Rebuild the index of ${last(parent)}`);
  let seen = "";

  async function show() {
    const found = await all("/v1/operations", "operations");
    const now = JSON.stringify(found);
    if (now === seen) return; // what is focused stays where it is
    seen = now;
    fill(told, found.length ? `${count(found.length, "operation")}.` : "There are none. Imports of files, training and edits of weights appear here.");
    fill(rows, found.reverse().map((operation) => card(operation, show)));
  }

  fill(place, h("h1", {}, "Operations"), h("div", { class: "row" }, reindex), told, rows);
  while (!signal.aborted) {
    try {
      await show();
    } catch (error) {
      fill(told, h("span", { class: "notice bad" }, error.message));
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}

function card(operation, again) {
  const path = `/v1/${operation.name}`;
  const failed = operation.error;
  const [kind, name] = !operation.done ? ["warn", "running"] : failed ? ["bad", "failed"] : ["good", "done"];
  const end = operation.done
    ? h("button", { type: "button", class: "quiet", onclick: () => busy(end, async () => { await remove(path); await again(); }) }, "Forget")
    : h("button", { type: "button", class: "danger", onclick: () => busy(end, async () => { await post(`${path}:cancel`, {}); await again(); }) }, "Cancel");
  return h("section", { class: "card operation" },
    h("div", { class: "row between" }, h("h2", {}, last(operation.name)), h("span", { class: `badge ${kind}` }, name)),
    failed ? h("p", { class: "notice bad" }, failed.message) : null,
    figures(operation.metadata),
    ...pictures(operation.response),
    h("div", { class: "row end" }, end));
}

const LONGEST = 200; // characters; what is longer is a picture or a file

/** What an operation tells of itself: plain, short values only. */
export function figures(metadata = {}) {
  const plain = Object.entries(metadata).filter(([name, value]) => name !== "@type" && typeof value !== "object" && value !== "" && String(value).length <= LONGEST);
  return h("dl", { class: "facts-of" }, plain.map(([name, value]) => h("div", {}, h("dt", {}, name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)), h("dd", {}, String(value)))));
}
