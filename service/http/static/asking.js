// How people ask for the relations of a namespace, by example: other words for the same are recognised then.

import { get, patch } from "/static/api.js";
import { busy, field, fill, h, last, lines, toast } from "/static/dom.js";

/** A part of the Facts page. */
export function asking(parent) {
  const relation = h("input", { required: true, autocomplete: "off" });
  const examples = h("textarea", { rows: 3, required: true, placeholder: "Who pays {s}?\n{s} earns a living at" });
  const keep = h("button", { type: "submit", class: "primary" }, "Save examples");
  const list = h("dl", { class: "asked", "aria-live": "polite" });
  let space = {};

  async function show() {
    space = await get(`/v1/${parent}`);
    fill(list, space.relationExamples.map((said) => entry(said)));
  }

  async function put(described, told) {
    space = await patch(`/v1/${parent}`, { relationExamples: described, etag: space.etag }, { updateMask: "relationExamples" });
    fill(list, space.relationExamples.map((said) => entry(said)));
    toast(told);
  }

  const others = (name) => space.relationExamples.filter((said) => said.relation !== name);

  function entry(said) {
    const change = h("button", { type: "button", class: "small", "aria-label": `Change the examples of ${said.relation}`, onclick: () => {
      relation.value = said.relation;
      examples.value = said.examples.join("\n");
      examples.focus();
    } }, "Change");
    const forget = h("button", { type: "button", class: "small", "aria-label": `Forget the examples of ${said.relation}`, onclick: () => busy(forget, () => put(others(said.relation), "Forgotten.")) }, "Forget");
    return h("div", {}, h("dt", {}, said.relation), h("dd", {}, said.examples.map((text) => h("p", {}, text)), h("div", { class: "row" }, change, forget)));
  }

  show().catch((error) => fill(list, h("p", { class: "notice bad" }, error.message)));
  return h("section", { class: "card" }, h("h2", {}, "How people ask"),
    h("p", { class: "soft" }, `A relation's name says little of how it is asked for. Two to eight examples each, and questions in other words find its facts too. They hold for all of ${last(parent)}, from the next question on.`),
    list,
    h("form", { class: "grid", onsubmit: (event) => {
      event.preventDefault();
      busy(keep, async () => {
        const name = relation.value.trim();
        await put([...others(name), { relation: name, examples: lines(examples) }], "Saved: it counts from the next question on.");
        relation.value = examples.value = "";
      });
    } }, field("Relation, as facts name it", relation), field("Examples, one a line", examples, "{s} stands for the subject. Questions, or texts that the object completes."), keep));
}
