// Rows of imports that wait: why they do, and letting them in or not.

import { Refused, get, post } from "/static/api.js";
import { busy, count, fill, h, last, toast, when } from "/static/dom.js";

const FLAGS = {
  REVIEW_FLAG_CONTRADICTS_STORED: ["bad", "contradicts a fact", "A stored fact, of this relation of the subject or of this id, says something else."],
  REVIEW_FLAG_CONTRADICTS_FILE: ["bad", "contradicts its file", "Rows that came together say different objects."],
  REVIEW_FLAG_INSTRUCTION_LIKE: ["bad", "speaks to a model", "A text that looks like an instruction."],
  REVIEW_FLAG_HIDDEN_TEXT: ["bad", "hidden text", "Characters that nobody sees, or that change the order of reading."],
  REVIEW_FLAG_NOT_FLAGGED: ["neutral", "not flagged", "Everything of its import waits."],
};
const STATES = [["HELD", "waiting"], ["APPROVED", "approved"], ["REJECTED", "rejected"]];
const PAGE = 50;

export async function reviews({ place, parent }) {
  const state = h("select", { "aria-label": "Which rows", onchange: () => busy(state, () => show()) }, STATES.map(([value, name]) => h("option", { value: `REVIEW_STATE_${value}` }, name)));
  const told = h("p", { class: "soft", role: "status", tabindex: -1 });
  const rows = h("div", { class: "cards" });
  const more = h("button", { type: "button", hidden: true, onclick: () => busy(more, () => show(token)) }, "More");
  let token = "";

  async function show(next = "") {
    const page = await get(`/v1/${parent}/reviews`, { state: state.value, pageSize: PAGE, pageToken: next });
    if (!next) fill(rows);
    rows.append(...page.reviews.map((review) => card(review, decided)));
    token = page.nextPageToken;
    more.hidden = !token;
    tell();
  }
  const tell = () => {
    const shown = rows.children.length;
    const name = STATES.find(([value]) => state.value.endsWith(value))[1];
    fill(told, shown ? `${count(shown, "row")} ${name}${token ? ", and more" : ""}.` : state.selectedIndex ? `No row was ${name}.` : "Nothing waits.");
  };
  const decided = (element, said) => {
    toast(said);
    element.remove();
    tell();
    told.focus(); // the button that was pressed is gone
  };
  fill(place,
    h("h1", {}, "Reviews"),
    h("p", { class: "lead" }, "Rows of imports that wait for somebody to read them: all of an import, or those in which something was flagged. Until they are approved, no search and no answer has them."),
    h("div", { class: "row" }, state), told, rows, more);
  try {
    await show();
  } catch (error) {
    fill(told, h("span", { class: "notice bad" }, error.message));
  }
}

function card(review, decided) {
  const { fact } = review;
  const offer = h("div", { class: "offer", "aria-live": "polite" });
  const act = (title, look, work) => {
    const button = h("button", { type: "button", class: look, onclick: () => busy(button, work) }, title);
    return button;
  };
  const approve = async (onConflict = "") => {
    fill(offer);
    try {
      await post(`/v1/${review.name}:approve`, onConflict ? { onConflict } : {});
    } catch (error) {
      if (onConflict || !(error instanceof Refused) || error.reason !== "CONFLICTING_FACT") throw error;
      fill(offer, h("p", { class: "notice warn" }, "A stored fact says another object. ",
        act("Replace it", "", () => approve("CONFLICT_POLICY_REPLACE")), act("Keep both", "", () => approve("CONFLICT_POLICY_ADD"))));
      return;
    }
    decided(element, "Approved: it is a fact now.");
  };
  const reject = async () => {
    await post(`/v1/${review.name}:reject`, {});
    decided(element, "Rejected.");
  };
  const waits = review.state === "REVIEW_STATE_HELD";
  const element = h("section", { class: "card review" },
    h("p", { class: "triple-text" }, h("strong", {}, fact.subject), h("span", { class: "relation" }, " · ", fact.relation, " · "), h("strong", {}, fact.object)),
    h("p", {}, review.flags.map((flag) => {
      const [kind, name, meaning] = FLAGS[flag] || ["neutral", flag, ""];
      return h("span", { class: `badge ${kind}`, title: meaning }, name);
    })),
    review.conflicts.length && waits ? h("p", {}, "Stored is: ", review.conflicts.map(stored)) : null,
    h("p", { class: "soft small" }, `Line ${review.line} of import ${review.importId}${fact.source ? `, from ${fact.source}` : ""}, by ${review.principal || "nobody named"} `, when(review.createTime)),
    waits
      ? [offer, h("div", { class: "row end" }, act("Reject", "danger", reject), act("Approve", "primary", () => approve()))]
      : h("p", { class: "soft small" }, `Decided by ${review.decidedBy || "nobody named"} `, when(review.decideTime), review.written ? [": ", h("a", { href: `#/facts/${encodeURIComponent(last(review.written))}` }, "the fact")] : ""));
  return element;
}

/** A fact's page, by its object once that is known. */
function stored(name) {
  const link = h("a", { href: `#/facts/${encodeURIComponent(last(name))}` }, last(name));
  get(`/v1/${name}`).then((fact) => fill(link, fact.object), () => {});
  return h("span", { class: "triple-text" }, link, " ");
}
