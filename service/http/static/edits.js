// Edits of the served weights: what was computed, what it did, and taking it back.

import { all, get, post, remove } from "/static/api.js";
import { busy, count, fill, h, last, percent, toast, when } from "/static/dom.js";

const STATES = {
  EDIT_STATE_COMPUTED: ["neutral", "computed"],
  EDIT_STATE_APPLIED: ["good", "applied"],
  EDIT_STATE_NOT_RESTORED: ["bad", "not restored"],
  EDIT_STATE_DAMAGED: ["bad", "damaged"],
};

export async function edits({ place }) {
  const rows = h("div", { class: "cards" });
  const told = h("p", { class: "soft", role: "status" });
  fill(place, h("h1", {}, "Edits of weights"),
    h("p", { class: "lead" }, "Facts change answers without touching the model. An edit changes its weights, for every namespace, and is taken back to the byte."),
    told, rows);

  async function show() {
    try {
      const found = await all("/v1/edits", "edits");
      fill(told, found.length ? `${count(found.length, "edit")}.` : "There are none. Compute one with `interleaf edits create`.");
      fill(rows, found.map((edit) => card(edit, show)));
    } catch (error) {
      fill(told, h("span", { class: "notice bad" }, error.message));
    }
  }
  await show();
}

function card(edit, again) {
  const [kind, name] = STATES[edit.state] || ["neutral", "unknown"];
  const path = `/v1/${edit.name}`;
  const receipt = h("div", {});
  const act = (title, look, work, done) => {
    const button = h("button", { type: "button", class: look, onclick: () => busy(button, async () => { await work(); toast(done); await again(); }) }, title);
    return button;
  };
  const more = h("details", { ontoggle: () => more.open && !receipt.firstChild && fillReceipt(receipt, path) }, h("summary", {}, "Receipt"), receipt);
  return h("section", { class: "card" },
    h("div", { class: "row between" }, h("h2", {}, last(edit.name)), h("span", { class: `badge ${kind}` }, name)),
    edit.problem ? h("p", { class: "notice bad" }, edit.problem) : null,
    edit.problems.length ? h("ul", { class: "notice warn" }, edit.problems.map((problem) => h("li", {}, problem))) : null,
    h("ul", { class: "plain" }, edit.facts.map((fact) => h("li", {}, fact.prompt, " ", h("strong", {}, fact.target)))),
    h("p", { class: "soft small" }, `${edit.method}, ${edit.tensors.length} tensors, ${(Number(edit.sizeBytes) / 2 ** 20).toFixed(1)} MiB; computed `, when(edit.createTime)),
    more,
    h("div", { class: "row end" },
      edit.state === "EDIT_STATE_APPLIED"
        ? act("Take back", "danger", () => post(`${path}:revert`, {}), "Taken back: the weights are the old ones, to the byte.")
        : [act("Forget", "quiet", () => remove(path), "Forgotten."), edit.state === "EDIT_STATE_COMPUTED" ? act("Apply", "primary", () => post(`${path}:apply`, {}), "Applied: answers are given with it.") : null]));
}

async function fillReceipt(place, path) {
  try {
    const receipt = await get(`${path}/receipt`);
    fill(place,
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Receipt" }, h("table", {},
        h("thead", {}, h("tr", {}, ["What", "Prompt", "Object", "Before", "After"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, receipt.lines.map((line) => h("tr", {}, [line.kind, line.prompt, line.object, share(line.before), share(line.after)].map((value) => h("td", {}, value))))))),
      receipt.texts.length ? h("h3", {}, "What the model says") : null,
      h("ul", { class: "plain" }, receipt.texts.map((text) => h("li", {}, h("p", {}, text.prompt), h("p", { class: "soft" }, `before: ${text.before}`), h("p", {}, `after: ${text.after}`)))));
  } catch (error) {
    fill(place, h("p", { class: "notice bad" }, error.message));
  }
}

const share = (standing) => (standing ? `${percent(standing.probability)} (rank ${standing.rank})` : "");
