// A question, answered by the model alone and by the same model with facts in its attention.

import { Refused, patch, post, remove, stream } from "/static/api.js";
import { answerText, citationList, verdict } from "/static/answers.js";
import { busy, count, field, fill, h, milliseconds, time, toast } from "/static/dom.js";
import { weighing } from "/static/weighing.js";

const EXAMPLES = [
  { subject: "Mirela Vantongeren", relation: "employer", object: "the Halvorsen Observatory", prompt: "Mirela Vantongeren works for", chat: false },
  { subject: "the Eiffel Tower", relation: "city", object: "Rome", prompt: "The Eiffel Tower is located in the city of", chat: false },
  { subject: "Port Ellery", relation: "country", object: "New Zealand", prompt: "In which country is Port Ellery?", chat: true },
];
const kept = { prompt: "", chat: true, strict: false, tokens: 32, temperature: 0, topK: "" };

export function playground({ place, parent, signal }) {
  const prompt = h("textarea", { rows: 2, maxlength: 20000, placeholder: "Ask something that your facts know…", value: kept.prompt });
  const chat = h("input", { type: "radio", name: "mode", value: "chat", checked: kept.chat });
  const plain = h("input", { type: "radio", name: "mode", value: "prompt", checked: !kept.chat });
  const tokens = h("input", { type: "number", min: 1, max: 1024, value: kept.tokens });
  const temperature = h("input", { type: "number", min: 0, max: 10, step: 0.1, value: kept.temperature });
  const topK = h("input", { type: "number", min: 1, max: 64, placeholder: "default", value: kept.topK });
  const strict = h("input", { type: "checkbox", checked: kept.strict });
  const ask = h("button", { type: "submit", class: "primary" }, "Ask");
  const original = card("Original", "the model alone");
  const edited = card("With facts", "the same weights, facts in attention");
  const before = h("section", { class: "card before", hidden: true, "aria-label": "The answer before the last change" });
  const results = h("div", { class: "sides", hidden: true }, original.card, edited.card);
  let running = new AbortController();
  let shown = null; // the last answer with facts
  signal.addEventListener("abort", () => running.abort());

  async function answer(revision = "0") {
    const text = prompt.value.trim();
    if (!text) {
      prompt.focus();
      return;
    }
    Object.assign(kept, { prompt: prompt.value, chat: chat.checked, strict: strict.checked, tokens: tokens.value, temperature: temperature.value, topK: topK.value });
    running.abort();
    running = new AbortController();
    results.hidden = false;
    const sampling = { maxTokens: Number(tokens.value) || 32, temperature: Number(temperature.value) || 0, seed: String(1 + Math.floor(Math.random() * 1e9)) };
    if (!sampling.temperature) delete sampling.seed;
    const input = chat.checked ? { chat: { messages: [{ role: "user", content: text }] } } : { prompt: prompt.value };
    const common = { ...input, sampling, details: true };
    const facts = { minRevision: revision, ...(topK.value ? { topK: Number(topK.value) } : {}) };
    const asked = running.signal;
    const [, response] = await Promise.all([
      speak(original, { ...common, retrieval: { disabled: true }, originalWeights: true }, parent, asked),
      speak(edited, { ...common, retrieval: facts, strict: strict.checked }, parent, asked, again),
    ]);
    if (response) {
      if (shown && shown.text !== response.text && shown.asked === text) {
        before.hidden = false;
        fill(before, h("h3", {}, "Before the last change"), h("p", { class: "answer-text" }, shown.text.trim()));
      } else if (!shown || shown.asked !== text) {
        before.hidden = true;
      }
      shown = { text: response.text, asked: text };
    }
  }

  const again = (fact) => {
    edited.card.focus({ preventScroll: true }); // the button that was pressed will be gone
    return answer(fact.namespaceRevision);
  };
  const form = h("form", { class: "card ask", onsubmit: (event) => { event.preventDefault(); busy(ask, () => answer()); } },
    field("Question or text", prompt),
    h("div", { class: "row" },
      h("fieldset", { class: "choice" }, h("legend", { class: "hidden" }, "How to read it"),
        h("label", {}, chat, " Question"), h("label", {}, plain, " Text to continue")),
      h("details", { class: "options" }, h("summary", {}, "Options"),
        h("div", { class: "row" }, field("Longest answer (tokens)", tokens), field("Temperature", temperature), field("Facts at most", topK), h("label", { class: "check-label" }, strict, " Only what a fact says"))),
      ask),
    h("p", { class: "hint" }, "Ctrl + Enter asks."));
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  const adding = addFact(parent, async (fact) => { if (prompt.value.trim()) await answer(fact.namespaceRevision); });
  fill(place,
    h("h1", {}, "Playground"),
    h("p", { class: "lead" }, "One frozen model, asked twice: as it is, and with your facts in its attention. Add a fact and watch the answer change."),
    form, results, before, adding.section,
    h("section", { class: "examples" }, h("h2", {}, "Try one"),
      h("div", { class: "row" }, EXAMPLES.map((example) => h("button", { type: "button", class: "quiet example", onclick: () => {
        prompt.value = example.prompt;
        (example.chat ? chat : plain).checked = true;
        adding.set(example);
        prompt.focus();
      } }, `${example.subject} · ${example.relation} · ${example.object}`)))));
}

function card(title, subtitle) {
  const badge = h("span", {});
  const body = h("div", { class: "answer-text", "aria-live": "polite" });
  const below = h("div", {});
  return { badge, body, below, card: h("section", { class: "card answer", tabindex: -1, "aria-label": title },
    h("header", {}, h("div", {}, h("h2", {}, title), h("p", { class: "soft" }, subtitle)), badge), body, below) };
}

async function speak(side, request, parent, signal, again) {
  fill(side.badge);
  fill(side.below);
  fill(side.body, h("span", { class: "cursor", "aria-hidden": "true" }, "▍"));
  side.card.setAttribute("aria-busy", "true");
  let text = "";
  try {
    for await (const message of stream("POST", `/v1/${parent}:streamGenerate`, { body: request, signal })) {
      if (message.response) {
        finish(side, message.response, again, again ? weighing(parent, request) : null);
        return message.response;
      }
      text += message.text;
      fill(side.body, text.trimStart(), h("span", { class: "cursor", "aria-hidden": "true" }, "▍"));
    }
  } catch (error) {
    if (error.name !== "AbortError") fill(side.body, text.trimStart(), h("p", { class: "notice bad" }, error.message));
  } finally {
    side.card.removeAttribute("aria-busy");
  }
  return null;
}

function finish(side, response, again, why) {
  fill(side.badge, again ? verdict(response.grounding) : null);
  const text = answerText(response);
  fill(side.body, text);
  const took = `${count(response.generatedTokens, "token")} in ${time(milliseconds(response.timings.total))}`;
  const facts = again ? `, with ${count(response.injectedTokens, "key/value token")} of ${count(response.citations.length, "fact")}` : "";
  fill(side.below,
    again ? citationList(response.citations, text, (citation, item) => actions(citation, item, again)) : null,
    h("p", { class: "soft small" }, took + facts), why);
}

function actions(citation, item, again) {
  const object = h("input", { value: citation.object, "aria-label": `New object of ${citation.relation} of ${citation.subject}` });
  const keep = h("button", { type: "submit" }, "Save and ask again");
  const editing = h("form", { class: "row correct", hidden: true, onsubmit: (event) => {
    event.preventDefault();
    busy(keep, async () => again(await patch(`/v1/${citation.fact}`, { object: object.value }, { updateMask: "object" })));
  } }, object, keep);
  const forget = h("button", { type: "button", class: "quiet small", onclick: () => busy(forget, async () => {
    const gone = await remove(`/v1/${citation.fact}`);
    toast("Deleted. Its history keeps it: it can be brought back.");
    await again(gone);
  }) }, "Delete");
  item.append(editing);
  const correct = h("button", { type: "button", class: "quiet small", onclick: () => { editing.hidden = !editing.hidden; if (!editing.hidden) object.select(); } }, "Correct");
  return [correct, forget, h("a", { class: "small", href: `#/facts/${encodeURIComponent(citation.fact.split("/").pop())}` }, "History")];
}

/** The form that adds a fact; `done` is told of it. */
function addFact(parent, done) {
  const [subject, relation, object] = ["Subject", "Relation", "Object"].map((name) => [name, h("input", { required: true, autocomplete: "off" })]);
  const add = h("button", { type: "submit", class: "primary" }, "Add and ask again");
  const offer = h("div", { class: "offer", "aria-live": "polite" });
  const save = async (onConflict) => {
    const [s, r, o] = [subject, relation, object].map(([, input]) => input.value.trim());
    fill(offer);
    try {
      const fact = await post(`/v1/${parent}/facts`, { subject: s, relation: r, object: o, source: "playground" }, { onConflict });
      toast(`Stored: ${r} of ${s} is ${o}.`);
      object[1].value = "";
      await done(fact);
    } catch (error) {
      if (!(error instanceof Refused) || error.reason !== "CONFLICTING_FACT") throw error;
      const replace = h("button", { type: "button", onclick: () => busy(replace, () => save("CONFLICT_POLICY_REPLACE")) }, "Replace it");
      fill(offer, h("p", { class: "notice warn" }, `${error.message} `, replace));
    }
  };
  const form = h("form", { class: "row triple", onsubmit: (event) => { event.preventDefault(); busy(add, () => save("")); } },
    [subject, relation, object].map(([name, input]) => field(name, input)), add);
  return {
    section: h("section", { class: "card add" }, h("h2", {}, "Add a fact"), form, offer),
    set: (example) => { subject[1].value = example.subject; relation[1].value = example.relation; object[1].value = example.object; },
  };
}
