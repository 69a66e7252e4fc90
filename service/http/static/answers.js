// An answer's text with what each token drew on, the facts that it cites, and the verdict.

import { h, percent } from "/static/dom.js";

const VERDICTS = {
  GROUNDING_GROUNDED: ["good", "Grounded", "The answer rests on the cited facts."],
  GROUNDING_UNGROUNDED: ["warn", "Ungrounded", "Facts were injected; the answer rests on none of them."],
  GROUNDING_NO_FACTS: ["neutral", "No facts", "No fact of this namespace was found to fit the question."],
};
const CHECKS = {
  VALUE_CHECK_EXACT: ["good", "said word for word"],
  VALUE_CHECK_DIFFERS: ["warn", "drawn on, other words"],
  VALUE_CHECK_NOT_USED: ["neutral", "not used"],
  VALUE_CHECK_UNSPECIFIED: ["neutral", "injected"],
};
const HUES = 6;
const FAINT = 0.2; // of a fact's highest share: less is not shown

/** A badge that says whether an answer rests on facts. */
export function verdict(grounding) {
  const [kind, name, meaning] = VERDICTS[grounding] || ["neutral", "Unknown", ""];
  return h("span", { class: `badge ${kind}`, title: meaning }, name);
}

export const hue = (index) => `hue-${index % HUES}`;
const used = (citation) => citation.valueCheck !== "VALUE_CHECK_NOT_USED";

/** The text, token by token; those that drew on a fact carry its colour and, at the end of a run, its number. */
export function answerText(response) {
  const tokens = response.tokens || [];
  const place = h("p", { class: "tokens" });
  if (!tokens.length) {
    const withheld = response.finishReason === "FINISH_REASON_ABSTAINED";
    place.append(withheld ? h("span", { class: "soft" }, "Withheld: no stored fact says it.") : response.text.trim() || "(nothing)");
    return place;
  }
  const drawn = tokens.map((token) => strongest(token, response.citations));
  tokens.forEach((token, index) => {
    const text = index === 0 ? token.text.trimStart() : token.text;
    const found = drawn[index];
    if (!found) {
      place.append(text);
      return;
    }
    const share = found.share / found.peak;
    const mark = h("mark", { class: `token ${hue(found.index)}`, "data-citation": found.index, title: `${percent(found.share)} of attention on fact ${found.index + 1}` }, text);
    mark.style.setProperty("--share", share.toFixed(2));
    place.append(mark);
    if (drawn[index + 1]?.index !== found.index) place.append(h("sup", { class: hue(found.index) }, String(found.index + 1)));
  });
  return place;
}

function strongest(token, citations) {
  let best = null;
  token.attention.forEach((share, index) => {
    const citation = citations[index];
    if (used(citation) && share > FAINT * citation.attention && (!best || share > best.share)) best = { index, share, peak: citation.attention };
  });
  return best;
}

/** The facts of an answer, the most attended first; pointing at one shows its tokens. `more(citation, item)` adds to each. */
export function citationList(citations, text, more = () => []) {
  if (!citations.length) return h("p", { class: "soft" }, "No fact was injected.");
  const most = Math.max(...citations.map((citation) => citation.attention), 1e-9);
  return h("ol", { class: "citations", "aria-label": "Facts that were injected" }, citations.map((citation, index) => {
    const [kind, said] = CHECKS[citation.valueCheck] || CHECKS.VALUE_CHECK_UNSPECIFIED;
    const show = (on) => text?.querySelectorAll(`[data-citation="${index}"]`).forEach((mark) => mark.classList.toggle("shown", on));
    const item = h("li", { class: `${hue(index)} ${used(citation) ? "" : "unused"}`, onmouseenter: () => show(true), onmouseleave: () => show(false), onfocusin: () => show(true), onfocusout: () => show(false) });
    const actions = h("span", { class: "row actions" });
    item.append(
      h("span", { class: "number", "aria-hidden": "true" }, String(index + 1)),
      h("div", { class: "fact" }, triple(citation),
        h("div", { class: "row small" }, h("span", { class: `check ${kind}` }, said), meter(citation.attention, most, "attention"), actions)));
    actions.append(...more(citation, item));
    return item;
  }));
}

/** Subject, relation and object; an id where the text is not known. */
export function triple(fact) {
  if (!fact.subject && !fact.object) return h("div", { class: "triple-text soft" }, (fact.fact || fact.name || "").split("/").pop());
  return h("div", { class: "triple-text" }, h("span", {}, fact.subject), " · ", h("span", { class: "relation" }, fact.relation), " · ", h("strong", {}, fact.object));
}

/** A bar beside its figure. */
export function meter(value, most, name) {
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("span", {}));
  bar.firstChild.style.setProperty("width", `${Math.min(100, (100 * value) / most).toFixed(1)}%`);
  return h("span", { class: "meter" }, bar, h("span", {}, `${percent(value)} ${name}`));
}
