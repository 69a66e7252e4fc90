// Under an answer: which facts were looked at, which of them the model was shown, and why not the others. Asked for
// when somebody opens it.

import { post } from "/static/api.js";
import { fill, h } from "/static/dom.js";

const REASONS = {
  WEIGHT_SHOWN: "shown to the model",
  WEIGHT_SUBJECT_NOT_NAMED: "its subject is not named in full",
  WEIGHT_NOT_ASKED_FOR: "its relation does not seem to be asked for",
  WEIGHT_BEHIND_ANOTHER: "another fact fits far better",
};

/** `request`: the question, as it was put to Generate. */
export function weighing(parent, { prompt, chat, retrieval }) {
  const body = h("div", { "aria-live": "polite" });
  const panel = h("details", { class: "options weighing", ontoggle: async () => {
    if (!panel.open || body.hasChildNodes()) return;
    try {
      fill(body, ...told(await post(`/v1/${parent}:weighFacts`, { prompt, chat, retrieval })));
    } catch (error) {
      fill(body, h("p", { class: "notice bad" }, error.message));
    }
  } }, h("summary", {}, "Why these facts?"), body);
  return panel;
}

function told({ facts, fitNeeded }) {
  if (!facts.length) return [h("p", { class: "soft" }, "No fact is near this question.")];
  const hidden = facts.some((item) => item.weight === "WEIGHT_NOT_ASKED_FOR");
  return [
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Facts that were found" },
      h("table", {},
        h("thead", {}, h("tr", {}, ["Subject", "Relation", "Object", "Fit", ""].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, facts.map(row)))),
    h("p", { class: "soft small" }, `A fit of ${fitNeeded.toFixed(1)} is needed (0 is certain).`,
      hidden ? " If a fact should be shown, say how people ask for its relation, on the Facts page." : ""),
  ];
}

function row({ subject, relation, object, fit, weight }) {
  const named = weight !== "WEIGHT_SUBJECT_NOT_NAMED";
  return h("tr", {}, [subject, relation, object, named ? fit.toFixed(1) : "", REASONS[weight] ?? ""].map((value) => h("td", {}, value)));
}
