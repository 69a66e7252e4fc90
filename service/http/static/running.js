// Work that takes long, watched from the page that asked for it.

import { get } from "/static/api.js";
import { fill, h } from "/static/dom.js";

const EVERY = 700;

/** Waits for an operation's end and gives its response; `told` hears its metadata meanwhile. Leaving the page ends the
 * waiting, not the work: that goes on under Operations. */
export async function ended(operation, signal, told = () => {}) {
  let now = operation;
  while (!now.done) {
    told(now.metadata || {});
    await new Promise((resolve) => setTimeout(resolve, EVERY));
    signal.throwIfAborted();
    now = await get(`/v1/${operation.name}`, {}, signal);
  }
  if (now.error) throw new Error(now.error.message);
  return now.response;
}

/** A line with a bar for work in progress; `told` of it goes to `ended`. */
export function progress(title) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": title });
  const stage = h("span", { class: "soft small" }, "waiting");
  const element = h("div", { class: "row progress", role: "status" }, h("strong", {}, title), bar, stage);
  const told = ({ stage: name = "", share = 0 }) => {
    bar.value = share;
    fill(stage, name);
  };
  return { element, told };
}
