// How many texts were looked at, and those with too little contrast (WCAG AA). Colours are the browser's own.
const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const over = (front, back) => {
  const share = front[3] / 255;
  return [0, 1, 2].map((i) => front[i] * share + back[i] * (1 - share)).concat(255);
};
const background = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((below, above) => over(above, below), [255, 255, 255, 255]);
};
const light = (colour) => {
  const [r, g, b] = colour.map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
let checked = 0;
const faint = [];
for (const element of document.querySelectorAll("body *")) {
  const says = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  const style = getComputedStyle(element);
  if (!(says || element.matches("input, textarea, select")) || !element.checkVisibility({ checkVisibilityCSS: true })) continue;
  if (element.closest(".hidden, .skip, noscript, [aria-hidden], :disabled")) continue;
  checked += 1;
  const back = background(element);
  const text = over(rgba(element instanceof SVGElement ? style.fill : style.color), back);
  const [dark, bright] = [light(text), light(back)].sort((a, b) => a - b);
  const ratio = (bright + 0.05) / (dark + 0.05);
  const size = Number.parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) faint.push(`${element.tagName}.${element.getAttribute("class") || ""}: ${ratio.toFixed(2)} ${element.textContent.trim().slice(0, 40)}`);
}
return [checked, faint];
