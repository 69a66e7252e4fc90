// Why did the model say this: the check of an answer, and studies that take longer.

import { post } from "/static/api.js";
import { busy, field, fill, h, percent } from "/static/dom.js";
import { figures } from "/static/operations.js";
import { picture, pictures } from "/static/pictures.js";
import { ended, progress } from "/static/running.js";

const VERDICTS = {
  VERDICT_OK: ["good", "Nothing speaks against it"],
  VERDICT_NO_MOVER: ["warn", "No head carries the attribute"],
  VERDICT_WRONG_MOVER: ["bad", "Heads carry over what speaks for it"],
  VERDICT_LATE_OVERRIDE: ["bad", "The right answer was overtaken late"],
  VERDICT_NEVER_ENRICHED: ["warn", "The subject never held the right answer"],
  VERDICT_NOT_PREFERRED: ["warn", "Wrong, and the model itself prefers the right answer"],
  VERDICT_OUTWEIGHED: ["bad", "Other parts outweigh what heads bring from the subject"],
};
const SOURCES = { TRUTH_SOURCE_CALLER: "as you said", TRUTH_SOURCE_STORE: "a stored fact", TRUTH_SOURCE_NONE: "not known" };
// Of the model: path, title, and what the probe is wrapped in.
const STUDIES = [
  ["circuits:studyHeads", "What every head does", (probe) => ({ probe })],
  ["circuits:studyKnockout", "What blocking does", (probe) => ({ probe })],
  ["circuits:studyRecall", "How it is recalled", (probe) => ({ probe })],
  ["circuits:discoverCircuit", "The circuit", (probe) => ({ probes: [probe] })],
  ["circuits:locateHeads", "Where it is looked up", (probe) => ({ probes: [probe] })],
];
// Of the facts of a namespace.
const OF_FACTS = [
  ["explainFacts", "Which heads read the facts", ["subject", "answer"]],
  ["studyEmergence", "Which heads come in with a fact", ["answer"]],
];

export function diagnostics({ place, parent, signal }) {
  const prompt = h("textarea", { rows: 2, required: true, maxlength: 20000, placeholder: "The capital of France is" });
  const plain = h("input", { type: "radio", name: "mode", checked: true });
  const chat = h("input", { type: "radio", name: "mode" });
  const [answer, truth, subject] = ["what the model says", "what a stored fact says", "the one that is named"].map((hint) => h("input", { autocomplete: "off", placeholder: hint }));
  const check = h("button", { type: "submit", class: "primary" }, "Check");
  const result = h("div", { class: "cards", "aria-live": "polite" });
  const input = () => (chat.checked ? { chat: { messages: [{ role: "user", content: prompt.value.trim() }] } } : { prompt: prompt.value });
  const said = () => Object.fromEntries([["answer", answer], ["truth", truth], ["subject", subject]].map(([name, element]) => [name, element.value]).filter(([, value]) => value.trim()));

  const run = async () => {
    fill(result, h("p", { class: "soft" }, "Looking inside…"));
    try {
      fill(result, ...report(await post(`/v1/${parent}:checkHallucination`, { ...input(), ...said() })));
    } catch (error) {
      fill(result, h("p", { class: "notice bad" }, error.message));
    }
  };
  const study = (path, title, body, asked = true) => {
    const made = h("button", { type: "button", onclick: () => busy(made, async () => {
      if (asked && !form.reportValidity()) return;
      const { element, told } = progress(title);
      studies.prepend(element);
      try {
        const found = await ended(await post(`/v1/${path}`, body()), signal, told);
        studies.prepend(h("section", { class: "card study" }, h("h2", {}, title), figures(found), ...pictures(found)));
      } finally {
        element.remove();
      }
    }) }, title);
    return made;
  };
  const probe = () => ({ ...input(), subject: subject.value, object: answer.value || truth.value });
  const many = h("input", { type: "number", min: 1, max: 1000, value: 20 });
  const parts = h("input", { type: "checkbox" });
  const studies = h("div", { class: "cards studies", "aria-live": "polite" });
  const form = h("form", { class: "card ask", onsubmit: (event) => { event.preventDefault(); busy(check, run); } },
    field("Question or text", prompt),
    h("div", { class: "row" }, h("fieldset", { class: "choice" }, h("legend", { class: "hidden" }, "How to read it"), h("label", {}, plain, " Text to continue"), h("label", {}, chat, " Question"))),
    h("div", { class: "row triple" }, field("Answer to check", answer), field("Right answer", truth), field("Subject", subject), check));
  fill(place,
    h("h1", {}, "Diagnostics"),
    h("p", { class: "lead" }, "Was this answer made up? The check looks inside the model: what it would have said at every depth, which heads said it, and what a right answer would have needed."),
    form,
    result,
    h("section", { class: "card" }, h("h2", {}, "Longer studies"),
      h("p", { class: "soft" }, "They want the subject and the answer named above, and run in the background: what they find stands here, and under Operations."),
      h("div", { class: "row" },
        STUDIES.map(([path, title, wrapped]) => study(path, title, () => wrapped(probe()))),
        OF_FACTS.map(([name, title, given]) => study(`${parent}:${name}`, title, () => {
          const told = { subject: subject.value, answer: answer.value };
          return { ...input(), ...Object.fromEntries(given.map((part) => [part, told[part]])) };
        }))),
      h("p", { class: "soft" }, "Of the facts of this namespace, whatever is asked: a copy of the model is tuned on the first of them, and its weights stand in for the model's at some tokens only. It takes minutes."),
      h("div", { class: "row" },
        study(`${parent}:studyGrafting`, "Where a tuned copy keeps facts", () => ({ facts: Number(many.value), components: parts.checked }), false),
        h("label", { class: "check-label" }, "Facts ", many), h("label", { class: "check-label" }, parts, " Layers and components too"))),
    studies);
}

function report(found) {
  const [kind, name] = VERDICTS[found.verdict] || ["neutral", "No verdict"];
  const chance = found.chanceWrong;
  return [
    h("section", { class: "card verdict" },
      h("div", { class: "row between" }, h("h2", {}, "The check"), h("span", { class: `badge ${kind}` }, name)),
      h("p", { class: "answer-text" }, found.explanation),
      h("dl", { class: "facts-of" },
        pair("Answer", found.answer), pair(`Right answer (${SOURCES[found.truthSource] || "unknown"})`, found.truth || "–"), pair("Subject", found.subject || "–"),
        pair("Chance that it is wrong", chance === undefined ? "not calibrated for this model" : `${percent(chance)} (suspected over ${percent(found.threshold)})`),
        found.repair ? pair("With facts in attention", found.repair.saysTruth ? "says the right answer" : found.repair.repaired ? "finds the right answer likelier" : "still prefers the wrong one") : null),
      found.fact ? h("p", {}, h("a", { href: `#/facts/${encodeURIComponent(found.fact.split("/").pop())}` }, "The fact that holds the right answer")) : null),
    found.svg ? h("section", { class: "card" }, h("h2", {}, "What it would have said at every depth"), picture(found.svg, `Log-probability of ${found.answer}${found.truth ? ` and of ${found.truth}` : ""} through the layers`)) : null,
    found.drivers.length ? table("What says the answer rather than the truth", ["Part", "Towards the answer", "Through the subject"], found.drivers.map((driver) => [part(driver.node), driver.towardsAnswer.toFixed(2), driver.throughSubject.toFixed(2)])) : null,
  ].filter(Boolean);
}

const pair = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
const part = (node) => (node.head === undefined ? `MLP of layer ${node.layer || 0}` : `Head ${node.head} of layer ${node.layer || 0}`);

function table(title, names, rows) {
  return h("section", { class: "card" }, h("h2", {}, title), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
    h("table", {}, h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows.map((row) => h("tr", {}, row.map((value) => h("td", {}, value))))))));
}
