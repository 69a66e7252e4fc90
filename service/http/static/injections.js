// The last answers, live: which facts went into attention, how much fell on each in which layer, where the time went.

import { get, stream } from "/static/api.js";
import { citationList, triple, verdict } from "/static/answers.js";
import { columns, heatmap, stages, STAGES } from "/static/charts.js";
import { count, fill, h, last, milliseconds, time, when } from "/static/dom.js";

const KEPT = 200;
const RETRY = 3000;

export async function injections({ place, parent, signal }) {
  const list = h("ul", { class: "feed", "aria-label": "Answers, the newest first" });
  const detail = h("section", { class: "card detail", "aria-live": "polite" }, h("p", { class: "soft" }, "Choose an answer to see what it drew on."));
  const chart = h("div", { class: "card" });
  const state = h("p", { class: "soft", role: "status" }, "Waiting for answers…");
  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    pause.setAttribute("aria-pressed", String(!paused()));
    fill(pause, paused() ? "Go on" : "Pause");
    tell();
    draw();
  } }, "Pause");
  const paused = () => pause.getAttribute("aria-pressed") === "true";
  const entries = [];
  const names = new Map();
  let chosen = null;
  let scope = ""; // all namespaces, or the chosen one where the key opens no more
  fill(place, h("div", { class: "row between" }, h("h1", {}, "Injections"), pause),
    h("p", { class: "lead" }, "Every answer with the facts that were put into its attention, as they are given. Kept in memory only."),
    state, chart, h("div", { class: "sides wide" }, list, detail));

  function tell() {
    if (!paused()) fill(state, entries.length ? `${count(entries.length, "answer")}; new ones appear by themselves.` : "No answers yet. Ask something in the playground.");
  }

  function draw() {
    if (paused()) return;
    fill(list, entries.map(shown));
    drawChart();
  }

  const shown = (entry) => item(entry, isSame(entry, chosen), (event) => choose(entry, event.currentTarget));
  const drawChart = () => fill(chart, h("h2", {}, "Where the time went"), columns([...entries].reverse().map(parts), Math.max(200, chart.clientWidth - 42)), legend());

  /** One more. The others stay where they are: the focus may be on one. */
  function add(entry) {
    entries.unshift(entry);
    entries.length = Math.min(entries.length, KEPT);
    if (chosen === null) choose(entry);
    if (paused()) return;
    tell();
    list.prepend(shown(entry));
    while (list.children.length > entries.length) list.lastChild.remove();
    drawChart();
  }

  async function choose(entry, pressed = null) {
    chosen = entry;
    for (const button of list.querySelectorAll(".entry")) button.setAttribute("aria-pressed", String(button === pressed));
    fill(detail, ...about(entry));
    await Promise.all(entry.citations.map((citation) => named(citation, names, signal)));
    if (chosen === entry && !signal.aborted) fill(detail, ...about(entry));
  }

  while (!signal.aborted) {
    try {
      const { injections: known } = await get("/v1/injections", { pageSize: KEPT, parent: scope }, signal);
      if (!isSame(known[0], entries[0])) { // a server that was started again counts from one
        entries.splice(0, entries.length, ...known);
        if (chosen === null && known.length) choose(known.find((entry) => !entry.retrievalDisabled) || known[0]);
        draw();
      }
      const query = { afterSequence: entries[0]?.sequence || "0", pageSize: KEPT, parent: scope };
      for await (const entry of stream("GET", "/v1/injections:watch", { query, signal, opened: tell })) add(entry);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === "PERMISSION_DENIED" && !scope) {
        scope = parent;
        continue;
      }
      fill(state, h("span", { class: "notice bad" }, `${error.message.replace(/[^.?!]$/, "$&.")} Trying again…`));
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY));
  }
}

/** Whether two are the same answer, or both none. */
const isSame = (one, other) => one?.sequence === other?.sequence && one?.createTime === other?.createTime;

function parts(entry) {
  const of = (name) => milliseconds(entry.timings[name]);
  const decode = Math.max(0, of("total") - of("retrieval") - of("compile") - of("queue") - of("firstToken"));
  return { retrieval: of("retrieval"), compile: of("compile"), queue: of("queue"), firstToken: of("firstToken"), decode };
}

function legend() {
  return h("ul", { class: "legend" }, STAGES.map(([id, name]) => h("li", {}, h("span", { class: `swatch stage-${id}` }), name)));
}

function item(entry, chosen, choose) {
  const used = entry.citations.filter((citation) => citation.valueCheck !== "VALUE_CHECK_NOT_USED").length;
  return h("li", {}, h("button", { type: "button", class: "entry", "aria-pressed": String(chosen), onclick: choose },
    h("span", { class: "row between" }, h("span", {}, `${entry.sequence}. ${last(entry.parent)} `, h("span", { class: "soft small" }, when(entry.createTime))), entry.retrievalDisabled ? h("span", { class: "badge neutral" }, "facts off") : verdict(entry.grounding)),
    entry.prompt ? h("span", { class: "prompt" }, entry.prompt) : null,
    h("span", { class: "soft small" }, `${count(entry.citations.length, "fact")}, ${used} used · ${count(entry.generatedTokens, "token")} · ${time(milliseconds(entry.timings.total))}`)));
}

function about(entry) {
  const layers = entry.citations.filter((citation) => Object.keys(citation.layerAttention).length);
  return [
    h("div", { class: "row between" }, h("h2", {}, `Answer ${entry.sequence}`), entry.retrievalDisabled ? null : verdict(entry.grounding)),
    entry.prompt ? h("blockquote", {}, entry.prompt) : null,
    entry.text ? h("p", { class: "answer-text" }, entry.text.trim()) : null,
    entry.prompt ? null : h("p", { class: "hint" }, "Prompts and answers are not remembered; monitor.texts = true keeps them."),
    h("h3", {}, "Facts"), citationList(entry.citations),
    layers.length ? h("h3", {}, "Attention by layer") : null,
    layers.length ? heatmap(layers.map((citation) => ({ name: triple(citation), shares: citation.layerAttention }))) : null,
    h("h3", {}, "Time"), stages(parts(entry)),
    h("p", { class: "soft small" }, `${entry.method}; ${entry.promptTokens} tokens of prompt, ${entry.injectedTokens} of facts, ${entry.generatedTokens} generated; revision ${entry.namespaceRevision}.`),
  ];
}

/** Facts come without their text where texts are not remembered: whoever may read them can look. */
async function named(citation, names, signal) {
  if (citation.subject) return;
  if (!names.has(citation.fact)) names.set(citation.fact, get(`/v1/${citation.fact}`, {}, signal).catch(() => null));
  const fact = await names.get(citation.fact);
  if (fact) Object.assign(citation, { subject: fact.subject, relation: fact.relation, object: fact.object });
}
