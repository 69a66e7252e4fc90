// One fact: what it says now, and everything that it ever said.

import { all, get, patch, post, remove } from "/static/api.js";
import { triple } from "/static/answers.js";
import { busy, field, fill, h, lines, toast, when } from "/static/dom.js";

const DONE = { create: "Created", update: "Corrected", delete: "Deleted", undelete: "Brought back", rollback: "Rolled back", replace: "Replaced" };

export async function factPage({ place, parent, rest }) {
  const path = `/v1/${parent}/facts/${encodeURIComponent(rest[0])}`;
  const body = h("div", { class: "cards" });
  fill(place, h("p", {}, h("a", { href: "#/facts" }, "← All facts")), h("h1", {}, "A fact"), body);

  async function show() {
    try {
      const [fact, history] = await Promise.all([get(path), all(`${path}/revisions`, "revisions")]);
      fill(body, current(fact, path, show), timeline(fact, history, path, show));
    } catch (error) {
      fill(body, h("p", { class: "notice bad" }, error.message));
    }
  }
  await show();
}

function current(fact, path, done) {
  const gone = Boolean(fact.deleteTime);
  const before = (name) => (name === "aliases" ? fact.aliases.join("\n") : fact[name]);
  const inputs = ["subject", "relation", "object", "aliases", "source"].map((name) => [name, h(name === "aliases" ? "textarea" : "input", { rows: 2, value: before(name), disabled: gone, autocomplete: "off" })]);
  const shown = new Map(inputs.map(([name, input]) => [name, input.value]));
  const labels = { subject: "Subject", relation: "Relation", object: "Object", aliases: "Other names, one a line", source: "Source" };
  const keep = h("button", { type: "submit", class: "primary", disabled: gone }, "Save");
  const toggle = h("button", { type: "button", class: gone ? "" : "danger", onclick: () => busy(toggle, async () => {
    if (gone) await post(`${path}:undelete`, { etag: fact.etag });
    else await remove(path, { etag: fact.etag });
    toast(gone ? "It is back." : "Deleted. It can be brought back until it is purged.");
    await done();
  }) }, gone ? "Bring back" : "Delete");
  return h("section", { class: "card" },
    gone ? h("p", { class: "notice warn" }, "Deleted; no answer uses it. It is kept until ", new Date(fact.purgeTime).toLocaleString(), ".") : null,
    h("form", { class: "grid", onsubmit: (event) => {
      event.preventDefault();
      busy(keep, async () => {
        // What was not touched is not sent: an input may show less of a text than there is.
        const touched = inputs.filter(([name, input]) => input.value !== shown.get(name));
        if (!touched.length) return toast("Nothing has changed.");
        const said = Object.fromEntries(touched.map(([name, input]) => [name, name === "aliases" ? lines(input) : input.value.trim()]));
        await patch(path, { ...said, etag: fact.etag }, { updateMask: Object.keys(said).join(",") });
        toast("Saved: answers use it from now on.");
        await done();
      });
    } }, inputs.map(([name, input]) => field(labels[name], input)), h("div", { class: "row end" }, toggle, keep)),
    h("dl", { class: "facts-of" },
      pair("Name", fact.name), pair("Id that is never reused", fact.uid), pair("Revision", fact.revision), pair("Created", when(fact.createTime)),
      fact.validFrom ? pair("Holds from", fact.validFrom) : null, fact.validTo ? pair("Holds until", fact.validTo) : null));
}

const pair = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

function timeline(fact, history, path, done) {
  return h("section", { class: "card" }, h("h2", {}, "History"),
    h("ol", { class: "timeline", reversed: true }, history.map((entry) => {
      const now = entry.fact.revision === fact.revision;
      const back = h("button", { type: "button", class: "small", "aria-label": `Roll back to revision ${entry.fact.revision}`, onclick: () => busy(back, async () => {
        await post(`${path}:rollback`, { revision: entry.fact.revision, etag: fact.etag });
        toast(`As in revision ${entry.fact.revision} again.`);
        await done();
      }) }, "Roll back to this");
      return h("li", { class: now ? "now" : "" },
        h("div", { class: "row" }, h("strong", {}, `${entry.fact.revision}. ${DONE[entry.action] || entry.action}`), when(entry.createTime), h("span", { class: "soft" }, `by ${entry.principal}`)),
        triple(entry.fact),
        now ? h("span", { class: "badge neutral" }, "now") : entry.action === "delete" ? null : back);
    })));
}
