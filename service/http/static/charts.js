// Small drawings: latency by stage, attention by layer.

import { h, percent, s, time } from "/static/dom.js";

/** The stages of an answer, in their order. */
export const STAGES = [
  ["retrieval", "retrieval"],
  ["compile", "compiling facts"],
  ["queue", "queue"],
  ["firstToken", "first token"],
  ["decode", "further tokens"],
];
const HEIGHT = 120;
const WIDTH = 12;
const GAP = 3;

const sum = (parts) => STAGES.reduce((all, [id]) => all + parts[id], 0);

/** A column for each of the last answers, as many as fit, the newest on the right. */
export function columns(all, width) {
  const answers = all.slice(-Math.max(1, Math.floor(width / (WIDTH + GAP))));
  const most = Math.max(...answers.map(sum), 1);
  const drawing = s("svg", { viewBox: `0 0 ${width} ${HEIGHT + 16}`, width, height: HEIGHT + 16, class: "columns", role: "img" });
  drawing.append(s("title", {}, `Latency of the last ${answers.length} answers by stage; the longest took ${time(most)}.`));
  drawing.append(s("line", { x1: 0, x2: width, y1: 14, y2: 14, class: "grid-line" }), s("text", { x: 0, y: 10, class: "axis" }, time(most)));
  answers.forEach((parts, index) => {
    let y = HEIGHT + 14;
    for (const [id] of STAGES) {
      const tall = (parts[id] / most) * HEIGHT;
      y -= tall;
      if (tall > 0.2) drawing.append(s("rect", { x: index * (WIDTH + GAP), y, width: WIDTH, height: tall, class: `stage-${id}` }));
    }
  });
  return drawing;
}

/** One answer's stages as a bar with its figures. */
export function stages(parts) {
  const all = Math.max(sum(parts), 1e-6);
  const bar = h("div", { class: "stage-bar", "aria-hidden": "true" }, STAGES.map(([id]) => {
    const piece = h("span", { class: `stage-${id}` });
    piece.style.setProperty("width", `${((100 * parts[id]) / all).toFixed(2)}%`);
    return piece;
  }));
  return h("div", {}, bar, h("dl", { class: "stage-figures" }, STAGES.map(([id, name]) => h("div", {}, h("dt", {}, h("span", { class: `swatch stage-${id}` }), name), h("dd", {}, time(parts[id]))))));
}

/** Facts by layers: the darker, the more attention. */
export function heatmap(rows) {
  const layers = [...new Set(rows.flatMap((row) => Object.keys(row.shares)))].map(Number).sort((a, b) => a - b);
  const most = Math.max(...rows.flatMap((row) => Object.values(row.shares)), 1e-9);
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Attention by layer" },
    h("table", { class: "heatmap" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Layer"), layers.map((layer) => h("th", { scope: "col" }, String(layer))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.name), layers.map((layer) => {
        const share = row.shares[layer] || 0;
        const cell = h("td", { title: `${percent(share)} in layer ${layer}` }, h("span", { class: "hidden" }, percent(share)));
        cell.style.setProperty("--share", (share / most).toFixed(3));
        return cell;
      }))))),
    h("p", { class: "soft small" }, `Share of attention at the token where each fact was attended to most. The darkest is ${percent(most)}.`));
}
