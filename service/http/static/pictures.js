// Pictures that the server drew, as images: an SVG in an image runs no script and fetches nothing.

import { h } from "/static/dom.js";

/** One picture; `title` says what it shows to those who do not see it. */
export function picture(svg, title) {
  return h("figure", { class: "picture" }, h("img", { src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`, alt: title }), h("figcaption", { class: "soft small" }, title));
}

/** All pictures in a message, by the names of their fields. */
export function pictures(message = {}) {
  return Object.entries(message)
    .filter(([name, value]) => name.toLowerCase().endsWith("svg") && typeof value === "string" && value.includes("<svg"))
    .map(([name, value]) => picture(value, name.replace(/svg$/i, "").replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).trim() || "Picture"));
}
