// What an edit shall change, and its two uses: compute it, or let the methods compete.

import { post } from "/static/api.js";
import { busy, field, fill, h, lines, toast } from "/static/dom.js";
import { pictures } from "/static/pictures.js";
import { ended, progress } from "/static/running.js";

const METHODS = [
  ["rrome", "ROME, corrected"],
  ["memit", "MEMIT"],
  ["ft_m", "Fine-tuning, masked (FT-M)"],
  ["ft_l", "Fine-tuning, bounded (FT-L)"],
  ["rome", "ROME, the original"],
];
const kept = {}; // by the name of a field, while the page is open

/** The form. `computed` is told of each edit that was made. */
export function editForm(parent, signal, computed) {
  const input = (name, more = {}) => {
    const made = h(more.rows ? "textarea" : "input", { autocomplete: "off", maxlength: 20000, ...more, value: kept[name] || "" });
    made.addEventListener("input", () => { kept[name] = made.value; });
    return made;
  };
  const prompt = input("prompt", { required: true, placeholder: "The Eiffel Tower is located in the city of" });
  const subject = input("subject", { required: true, placeholder: "The Eiffel Tower" });
  const old = input("old", { placeholder: "Paris" });
  const target = input("target", { required: true, placeholder: "Rome" });
  const relation = input("relation", { placeholder: "city" });
  const paraphrases = input("paraphrases", { rows: 3 });
  const neighbours = input("neighbours", { rows: 3 });
  const settings = input("settings", { rows: 2, spellcheck: "false", placeholder: "{}" });
  const method = h("select", {}, METHODS.map(([id, name]) => h("option", { value: id }, name)));
  const compute = h("button", { type: "submit", class: "primary" }, "Compute");
  const compare = h("button", { type: "button" }, "Compare methods");
  const below = h("div", { class: "cards", "aria-live": "polite" });

  const fact = () => Object.fromEntries(Object.entries({
    prompt: prompt.value, subject: subject.value, target: target.value, old: old.value, relation: relation.value,
    paraphrases: lines(paraphrases), neighbours: lines(neighbours),
  }).filter(([, value]) => value.length));

  async function run(title, path, body) {
    const { element, told } = progress(title);
    fill(below, element);
    try {
      return await ended(await post(`/v1/${parent}/${path}`, body), signal, told);
    } finally {
      fill(below);
    }
  }
  const make = async () => {
    const edit = await run("Computing the edit", "edits", { method: method.value, facts: [fact()], settings: settings.value.trim() });
    toast("Computed. Nothing that is served has changed yet.");
    await computed(edit);
  };
  const compete = async () => {
    if (!form.reportValidity()) return;
    const found = await run("Comparing methods", "edits:compare", { facts: [fact()] });
    const out = Object.entries(found.leftOut || {});
    fill(below, h("section", { class: "card comparison" }, h("h2", {}, "The methods compared"), ...pictures(found),
      out.length ? h("ul", { class: "plain soft" }, out.map(([name, why]) => h("li", {}, `${name}: ${why}`))) : null));
  };
  compare.addEventListener("click", () => busy(compare, compete));
  const form = h("form", { class: "card ask", onsubmit: (event) => { event.preventDefault(); busy(compute, make); } },
    h("h2", {}, "Change a weight"),
    h("div", { class: "row triple" }, field("Text to continue", prompt), field("Subject in it", subject)),
    h("div", { class: "row triple" }, field("It says now", old), field("It shall say", target), field("Method", method)),
    h("details", { class: "options" }, h("summary", {}, "Options"),
      h("div", { class: "row triple" },
        field("Other ways to ask", paraphrases, "One a line: where the edit should be seen too."),
        field("What should stay", neighbours, "One a line: texts about others that are said the same now.")),
      h("div", { class: "row triple" }, field("Relation", relation, "To compare with the fact in attention."), field("Settings", settings, "JSON, over those that were measured for the model."))),
    h("div", { class: "row end" }, compare, compute));
  return h("div", { class: "cards" }, form, below);
}
