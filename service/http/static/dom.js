// Elements are made here and nowhere else, and text goes in as text: what a fact says is never read as HTML.

/** An element. Attributes: `on…` are listeners, `class`, `data-…`, properties such as `value` and `checked`. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children.flat());
  return element;
}

/** Replaces what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter(Boolean));
  return element;
}

let ids = 0;

/** A labelled input: the label is for it, whatever else happens. */
export function field(label, input, hint = "") {
  input.id ||= `field-${++ids}`;
  if (hint) {
    const note = h("span", { class: "hint", id: `${input.id}-hint` }, hint);
    input.setAttribute("aria-describedby", note.id);
    return h("div", { class: "field" }, h("label", { for: input.id }, label), input, note);
  }
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input);
}

/** What stands in a text area, one thing a line. */
export const lines = (area) => area.value.split("\n").map((line) => line.trim()).filter(Boolean);

/** A short message that goes by itself; failures stay longer. */
export function toast(text, kind = "good") {
  const note = h("div", { class: `toast ${kind}` }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), kind === "bad" ? 9000 : 3500);
}

/** Runs the work of a button: once at a time, and with what went wrong said. */
export async function busy(button, work) {
  if (button.disabled) return undefined;
  const focused = document.activeElement === button;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, "bad");
    return undefined;
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    if (focused && document.activeElement === document.body) button.focus({ preventScroll: true }); // what is disabled has none
  }
}

/** "3 minutes ago", with the exact time beside it. */
export function when(stamp) {
  if (!stamp) return "";
  const seconds = (Date.now() - Date.parse(stamp)) / 1000;
  const steps = [[60, 1, "second"], [3600, 60, "minute"], [86400, 3600, "hour"], [Infinity, 86400, "day"]];
  const [, unit, name] = steps.find(([limit]) => seconds < limit);
  const said = new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.max(0, Math.floor(seconds / unit)), name);
  return h("time", { datetime: stamp, title: new Date(stamp).toLocaleString() }, said);
}

/** A protobuf duration ("1.25s") as milliseconds. */
export const milliseconds = (duration) => 1000 * Number.parseFloat(duration || "0");

/** Milliseconds for people. */
export function time(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** A share for people. */
export const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** "1 fact", "2 facts". */
export const count = (number, name) => `${number} ${name}${Number(number) === 1 ? "" : "s"}`;

/** The last part of a name. */
export const last = (name) => name.slice(name.lastIndexOf("/") + 1);
