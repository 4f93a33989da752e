// Maps: unpack 16-bit coordinates and draw them when they come into view.

const packs = JSON.parse(document.getElementById("maps-data").textContent);
const unpack = (text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Uint16Array.from({ length: bytes.length / 2 }, (_, n) => view.getUint16(2 * n, true));
};

// Eight colors that color-blind readers tell apart, then the same colors with another shape.
const COLORS = 8;
const shape = (context, code, x, y, r) => {
  context.beginPath();
  const form = Math.floor(code / COLORS) % 3;
  if (form === 0) context.arc(x, y, r, 0, 7);
  else if (form === 1) {
    context.moveTo(x, y - 1.4 * r);
    context.lineTo(x + 1.3 * r, y + r);
    context.lineTo(x - 1.3 * r, y + r);
    context.closePath();
  } else context.rect(x - r, y - r, 2 * r, 2 * r);
};
const palette = () => {
  const style = getComputedStyle(document.documentElement);
  return Array.from({ length: COLORS }, (_, n) => style.getPropertyValue(`--c${n}`).trim());
};

// A fixed shuffle of the order of drawing, so that no batch lies on top only because it comes last in the file.
const order = (n) => {
  const places = Array.from({ length: n }, (_, i) => i);
  let state = 1;
  for (let i = n - 1; i > 0; i--) {
    state = (state * 48271) % 2147483647;
    const j = state % (i + 1);
    [places[i], places[j]] = [places[j], places[i]];
  }
  return places;
};

const draw = (canvas) => {
  const gallery = canvas.closest("[data-maps]");
  const pack = packs[gallery.dataset.maps];
  const width = canvas.clientWidth;
  if (!width) return;
  const ratio = Math.max(window.devicePixelRatio || 1, 2);
  canvas.width = canvas.height = Math.round(width * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  pack.cache ??= {};
  const xy = (pack.cache[canvas.dataset.n] ??= unpack(pack.xy[canvas.dataset.n]));
  const codes = (pack.cache[canvas.dataset.column] ??= unpack(pack.codes[canvas.dataset.column]));
  pack.order ??= order(pack.n_drawn);
  const colors = palette();
  const faint = getComputedStyle(document.documentElement).getPropertyValue("--faint").trim();
  const column = canvas.dataset.column;
  const unknown = pack.colors[column].indexOf("not labeled");
  const chosen = gallery.querySelector(`[data-column="${column}"] [aria-pressed="true"]`);
  const only = chosen ? Number(chosen.dataset.code) : -1;
  const r = Math.max(1, Math.min(2.4, (width / 180) * (900 / (pack.n_drawn + 300)) + 0.9));
  const put = (i, color) => {
    const [x, y] = [xy[2 * i], xy[2 * i + 1]];
    if (!x && !y) return;
    const place = (v) => 6 + ((v - 1) / 65534) * (width - 12);
    shape(context, codes[i], place(x), width - place(y), r);
    context.fillStyle = color;
    context.fill();
  };
  if (only >= 0) for (const i of pack.order) if (codes[i] !== only) put(i, faint);
  for (const i of pack.order) {
    if (only < 0 || codes[i] === only) put(i, codes[i] === unknown ? faint : colors[codes[i] % COLORS]);
  }
  canvas.dataset.drawn = "";
};

const canvases = [...document.querySelectorAll("canvas[data-n]")];
const watch = new IntersectionObserver(
  (entries) => entries.forEach((entry) => entry.isIntersecting && !("drawn" in entry.target.dataset) && draw(entry.target)),
  { rootMargin: "300px" },
);
canvases.forEach((canvas) => watch.observe(canvas));
const redraw = () => canvases.filter((canvas) => "drawn" in canvas.dataset).forEach(draw);
const drawAll = () => canvases.forEach(draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { swatches(); redraw(); });
let waiting = 0;
window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(redraw, 150); });

const swatches = () => {
  const colors = palette();
  for (const button of document.querySelectorAll(".legend button")) {
    const code = Number(button.dataset.code);
    const swatch = document.createElement("canvas");
    swatch.width = swatch.height = 24;
    const context = swatch.getContext("2d");
    context.scale(2, 2);
    shape(context, code, 6, 6, 4);
    const plain = button.textContent === "not labeled";
    context.fillStyle = plain ? getComputedStyle(document.documentElement).getPropertyValue("--faint").trim() : colors[code % COLORS];
    context.fill();
    button.querySelector(".swatch").replaceChildren(swatch);
  }
};
swatches();

for (const legend of document.querySelectorAll(".legend")) {
  legend.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const on = button.getAttribute("aria-pressed") !== "true";
    for (const other of legend.querySelectorAll("button")) other.setAttribute("aria-pressed", String(on && other === button));
    const gallery = legend.closest("[data-maps]");
    gallery.querySelectorAll(`canvas[data-column="${legend.dataset.column}"][data-drawn]`).forEach(draw);
  });
}
