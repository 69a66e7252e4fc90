// The facts of a namespace: found, corrected, taken back. One fact has a page with its history: fact.js.

import { get, post, save, upload } from "/static/api.js";
import { asking } from "/static/asking.js";
import { busy, count, field, fill, h, last, lines, percent, toast, when } from "/static/dom.js";
import { factPage } from "/static/fact.js";

const STATES = {
  FACT_STATE_DURABLE: ["warn", "stored", "It is safe on disk; retrieval does not know it yet."],
  FACT_STATE_SEARCHABLE: ["neutral", "searchable", "Retrieval finds it."],
  FACT_STATE_COMPILED: ["good", "compiled", "Its key/value tokens are at hand."],
};
const PAGE = 50;
const FORMATS = { csv: "csv", jsonl: "jsonl", ndjson: "jsonl", nt: "nt" }; // by the end of a file's name

export function facts(page) {
  if (page.rest.length) {
    factPage(page);
    return;
  }
  const { place, parent } = page;
  const search = h("input", { type: "search", placeholder: "Who works at the shipyard?" });
  const filter = h("input", { type: "text", placeholder: 'subject = "Anna Keller" AND relation : employ', spellcheck: "false" });
  const deleted = h("input", { type: "checkbox" });
  const find = h("button", { type: "submit", class: "primary" }, "Find");
  const rows = h("tbody", {});
  const told = h("p", { class: "soft", "aria-live": "polite" });
  const more = h("button", { type: "button", hidden: true }, "More");
  let token = "";
  let asked = {}; // what the list is of, whatever stands in the fields by now

  async function show(next = "") {
    const text = search.value.trim();
    if (text && !next) {
      const { hits } = await post(`/v1/${parent}/facts:search`, { query: text, topK: 20 });
      fill(rows, hits.map((hit) => row(hit.fact, percent(hit.score))));
      more.hidden = true;
      fill(told, hits.length ? `${count(hits.length, "fact")}, the best first.` : "No fact fits.", filter.value.trim() ? " A search is not filtered: to filter, leave the search empty." : "");
      return;
    }
    const query = next ? asked : { pageSize: PAGE, filter: filter.value.trim(), showDeleted: deleted.checked };
    const list = await get(`/v1/${parent}/facts`, { ...query, pageToken: next });
    asked = query;
    if (!next) fill(rows);
    rows.append(...list.facts.map((fact) => row(fact)));
    token = list.nextPageToken;
    more.hidden = !token;
    const shown = rows.children.length;
    fill(told, shown ? `${count(shown, "fact")} shown${token ? "" : ", all of them"}. Revision ${list.namespaceRevision}.` : "There are no facts here yet. Add one below, or import a file.");
  }

  const again = () => show().catch((error) => toast(error.message, "bad"));
  more.addEventListener("click", () => busy(more, () => show(token)));
  deleted.addEventListener("change", again);
  fill(place,
    h("h1", {}, "Facts"),
    h("form", { class: "card finder", onsubmit: (event) => { event.preventDefault(); busy(find, () => show()); } },
      field("Search by meaning", search), field("Or filter exactly", filter),
      h("label", { class: "check-label" }, deleted, " Deleted ones too"), find),
    told,
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Facts" },
      h("table", { class: "facts-table" },
        h("thead", {}, h("tr", {}, ["Subject", "Relation", "Object", "State", "Changed"].map((name) => h("th", { scope: "col" }, name)))), rows)),
    more,
    adding(parent, again),
    files(parent, again),
    asking(parent));
  again();
}

function row(fact, score = "") {
  const [kind, name, meaning] = fact.deleteTime ? ["bad", "deleted", "It can be brought back."] : STATES[fact.state] || STATES.FACT_STATE_DURABLE;
  return h("tr", { class: fact.deleteTime ? "gone" : "" },
    h("td", { "data-name": "Subject" }, h("a", { href: `#/facts/${encodeURIComponent(last(fact.name))}` }, fact.subject)),
    h("td", { "data-name": "Relation" }, fact.relation),
    h("td", { "data-name": "Object" }, fact.object),
    h("td", { "data-name": "State" }, h("span", { class: `badge ${kind}`, title: meaning }, name), score ? ` ${score}` : ""),
    h("td", { "data-name": "Changed" }, when(fact.updateTime)));
}

function adding(parent, done) {
  const inputs = ["subject", "relation", "object", "aliases", "source"].map((name) => [name, h(name === "aliases" ? "textarea" : "input", { rows: 2, required: ["subject", "relation", "object"].includes(name), autocomplete: "off" })]);
  const conflict = h("select", {}, h("option", { value: "" }, "refuse it"), h("option", { value: "CONFLICT_POLICY_REPLACE" }, "replace the other"), h("option", { value: "CONFLICT_POLICY_ADD" }, "keep both"));
  const add = h("button", { type: "submit", class: "primary" }, "Add");
  const labels = { subject: "Subject", relation: "Relation", object: "Object", aliases: "Other names of the subject, one a line", source: "Source" };
  return h("section", { class: "card" }, h("h2", {}, "Add a fact"),
    h("form", { class: "grid", onsubmit: (event) => {
      event.preventDefault();
      busy(add, async () => {
        const fact = Object.fromEntries(inputs.map(([name, input]) => [name, name === "aliases" ? lines(input) : input.value.trim()]));
        await post(`/v1/${parent}/facts`, fact, { onConflict: conflict.value });
        toast("Stored.");
        inputs.forEach(([, input]) => { input.value = ""; });
        await done();
      });
    } }, inputs.map(([name, input]) => field(labels[name], input)), field("Where the relation has another object already", conflict), add));
}

function files(parent, done) {
  const file = h("input", { type: "file", accept: ".csv,.jsonl,.ndjson,.nt", required: true });
  const dry = h("input", { type: "checkbox" });
  const wait = h("input", { type: "checkbox" });
  const load = h("button", { type: "submit" }, "Import");
  const report = h("div", { "aria-live": "polite" });
  const take = async () => {
    const chosen = file.files[0];
    if (!chosen) return;
    const format = FORMATS[chosen.name.slice(chosen.name.lastIndexOf(".") + 1).toLowerCase()];
    if (!format) throw new Error(`How ${chosen.name} is to be read is not known: its name must end in .csv, .jsonl, .ndjson or .nt.`);
    const told = await upload(`/v1/${parent}/facts:import`, chosen, { format, source: chosen.name, validateOnly: dry.checked, quarantine: wait.checked ? "QUARANTINE_ALL" : "" });
    fill(report,
      h("p", {}, `${dry.checked ? "Checked" : "Read"} ${told.rowsRead} rows: ${told.rowsWritten} written, ${told.rowsUnchanged} unchanged, ${told.rowsFailed} refused.`),
      Number(told.rowsHeld) ? h("p", { class: "notice warn" }, `${count(told.rowsHeld, "row")} ${dry.checked ? "would wait" : Number(told.rowsHeld) === 1 ? "waits" : "wait"} for approval. `, h("a", { href: "#/reviews" }, "Read them")) : null,
      told.failures.length ? h("ul", { class: "small" }, told.failures.slice(0, 20).map((failure) => h("li", {}, `Line ${failure.line}: ${failure.message}`))) : null);
    await done();
  };
  const formats = [["csv", "CSV"], ["jsonl", "JSONL"], ["nt", "N-Triples"]];
  return h("section", { class: "card" }, h("h2", {}, "Files"),
    h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); busy(load, take); } },
      field("CSV, JSONL or N-Triples", file), h("label", { class: "check-label" }, dry, " Only check"), h("label", { class: "check-label" }, wait, " All rows wait for approval"), load),
    report,
    h("div", { class: "row" }, h("span", { class: "soft" }, "Export as"), formats.map(([ending, name]) => {
      const button = h("button", { type: "button", class: "quiet", onclick: () => busy(button, () => save(`/v1/${parent}/facts:export`, { format: ending }, `${last(parent)}.${ending}`)) }, name);
      return button;
    })));
}
