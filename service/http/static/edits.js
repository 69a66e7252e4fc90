// Edits of the served weights: what was computed, what it did, and taking it back.

import { Refused, all, get, post, remove } from "/static/api.js";
import { busy, count, fill, h, last, percent, toast, when } from "/static/dom.js";
import { editForm } from "/static/edit_form.js";

const STATES = {
  EDIT_STATE_COMPUTED: ["neutral", "computed"],
  EDIT_STATE_APPLIED: ["good", "applied"],
  EDIT_STATE_NOT_RESTORED: ["bad", "not restored"],
  EDIT_STATE_DAMAGED: ["bad", "damaged"],
};

export async function edits({ place, parent, signal }) {
  const rows = h("div", { class: "cards" });
  const told = h("p", { class: "soft", role: "status" });
  fill(place, h("h1", {}, "Edits of weights"),
    h("p", { class: "lead" }, "Facts change answers without touching the model. An edit changes its weights, for every namespace, and is taken back to the byte."),
    editForm(parent, signal, (edit) => show(edit.name)), told, rows);

  /** `at` is what was just worked on: the focus goes there, since the button that was pressed is gone. */
  async function show(at = "") {
    try {
      const found = await all("/v1/edits", "edits");
      fill(told, found.length ? `${count(found.length, "edit")}.` : "There are none.");
      const cards = found.map((edit) => card(edit, show));
      fill(rows, cards.map(({ element }) => element));
      cards.find(({ name }) => name === at)?.heading.focus();
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
  const offer = h("div", { class: "offer", "aria-live": "polite" });
  const act = (title, look, work) => {
    const button = h("button", { type: "button", class: look, onclick: () => busy(button, work) }, title);
    return button;
  };
  const done = async (said) => {
    toast(said);
    await again(edit.name);
  };
  const apply = async (allNamespaces = false) => {
    fill(offer);
    try {
      await post(`${path}:apply`, { allNamespaces });
    } catch (error) {
      if (allNamespaces || !(error instanceof Refused) || error.reason !== "EDIT_AFFECTS_OTHERS") throw error;
      fill(offer, h("p", { class: "notice warn" }, `${error.message} `, act("Apply for all namespaces", "", () => apply(true))));
      return;
    }
    await done("Applied: answers are given with it.");
  };
  const revert = async () => {
    await post(`${path}:revert`, {});
    await done("Taken back: the weights are the old ones, to the byte.");
  };
  const more = h("details", { ontoggle: () => more.open && !receipt.firstChild && fillReceipt(receipt, path) }, h("summary", {}, "Receipt"), receipt);
  const heading = h("h2", { tabindex: -1 }, last(edit.name));
  const element = h("section", { class: "card edit" },
    h("div", { class: "row between" }, heading, h("span", { class: `badge ${kind}` }, name)),
    edit.problem ? h("p", { class: "notice bad" }, edit.problem) : null,
    edit.problems.length ? h("ul", { class: "notice warn" }, edit.problems.map((problem) => h("li", {}, problem))) : null,
    h("ul", { class: "plain" }, edit.facts.map((fact) => h("li", {}, fact.prompt, " ", h("strong", {}, fact.target)))),
    h("p", { class: "soft small" }, `${edit.method}, ${count(edit.tensors.length, "tensor")}, ${(Number(edit.sizeBytes) / 2 ** 20).toFixed(1)} MiB; computed `, when(edit.createTime)),
    edit.live.length ? h("ul", { class: "plain live small" }, edit.live.map((check) => h("li", {}, `${check.target}, as the engine said it: ${share(check.before)} before, ${share(check.after)} after.`))) : null,
    more, offer,
    h("div", { class: "row end" },
      edit.state === "EDIT_STATE_APPLIED"
        ? act("Take back", "danger", revert)
        : [act("Forget", "quiet", async () => { await remove(path); await done("Forgotten."); }), edit.state === "EDIT_STATE_COMPUTED" ? act("Apply", "primary", () => apply()) : null]));
  return { element, heading, name: edit.name };
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
