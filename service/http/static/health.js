// Is the service well: index lag, queue, caches, refusals.

import { get } from "/static/api.js";
import { fill, h, last, percent, when } from "/static/dom.js";

const EVERY = 2000;

export async function health({ place, signal, namespaces }) {
  const cards = h("div", { class: "figures" });
  const calls = h("tbody", {});
  const spaces = h("tbody", {});
  const state = h("p", { class: "soft", role: "status" });
  fill(place, h("h1", {}, "Health"), state, cards,
    table("Namespaces", ["Namespace", "Facts", "Revision", "Searchable", "Compiled", "Index lag"], spaces),
    table("Calls", ["Kind", "Now", "At most", "Refused since the start"], calls),
    h("p", { class: "soft" }, "For graphs over time: Prometheus and Grafana. The API is described at ", h("a", { href: "/v1/openapi.json" }, "/v1/openapi.json"), "."));

  async function show() {
    const [status, found] = await Promise.all([get("/v1/status", {}, signal), namespaces()]);
    const looked = Number(status.compiledHits) + Number(status.compiledMisses);
    const behind = Math.max(0, ...found.map(lag));
    fill(state, "Started ", when(status.startTime), status.model ? ` with ${status.model}` : ", without a model", status.encoder ? ` and encoder ${status.encoder}.` : ".");
    fill(cards,
      figure("Being answered", status.runningRequests, `${status.waitingRequests} wait`, status.waitingRequests > 8 ? "warn" : ""),
      figure("Index lag", behind, behind === 1 ? "revision" : "revisions", behind > 100 ? "warn" : ""),
      figure("Tokens at hand", looked ? percent(Number(status.compiledHits) / looked) : "–", `${status.compiledFacts} facts, ${mib(status.compiledBytes)} of ${mib(status.compiledCapacityBytes)}`),
      figure("Answers", status.answers, Number(status.answers) ? `${percent(Number(status.groundedAnswers) / Number(status.answers))} grounded` : "since the start"));
    fill(spaces, found.map((space) => h("tr", {}, h("th", { scope: "row" }, last(space.name)), [space.factCount, space.revision, space.searchableRevision, space.compiledRevision, lag(space)].map((value) => h("td", {}, String(value))))));
    fill(calls, status.calls.map((load) => h("tr", {}, h("th", { scope: "row" }, load.kind), [load.running, load.limit, load.refused].map((value) => h("td", {}, String(value))))));
  }

  let failed = false;
  let seen = "";
  while (!signal.aborted) {
    try {
      if (!document.hidden) {
        await show();
        seen = new Date().toLocaleTimeString();
        failed = false;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!failed) fill(state, h("span", { class: "notice bad" }, error.message, seen && ` The figures below are those of ${seen}.`));
      failed = true;
    }
    place.classList.toggle("stale", failed);
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}

const lag = (space) => Math.max(0, Number(space.revision) - Number(space.searchableRevision));
const mib = (bytes) => `${(Number(bytes) / 2 ** 20).toFixed(1)} MiB`;

function figure(name, value, below, kind = "") {
  return h("section", { class: `card figure ${kind}` }, h("h2", {}, name), h("p", { class: "value" }, String(value)), h("p", { class: "soft small" }, below));
}

function table(title, names, body) {
  return h("section", { class: "card" }, h("h2", {}, title),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
      h("table", {}, h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))), body)));
}
