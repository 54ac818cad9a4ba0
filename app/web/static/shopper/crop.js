// The part of the photo to look at: a frame to drag, and four sliders that do the same without dragging.
import { byId, make, show } from "../common/dom.js";
import { _, formatNumber, formatPercent } from "../common/text.js";

const LEAST = 0.1; // share of the photo's width and height that a part has at least
const WHOLE = { left: 0, top: 0, right: 1, bottom: 1 };
const EDGES = ["left", "right", "top", "bottom"];

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

let part = { ...WHOLE };
let changed = () => {};

const box = byId("cropper");
const frame = byId("crop-frame");
const sliders = Object.fromEntries(EDGES.map((edge) => [edge, byId(`edge-${edge}`)]));

export const isWhole = () => EDGES.every((edge) => Math.abs(part[edge] - WHOLE[edge]) < 0.005);

/** As POST /v1/search takes it; null for the whole photo. */
export function cropField() {
  if (isWhole()) return null;
  // Edges are rounded, not widths: a part that ends at the photo's edge must not reach over it.
  const [left, top, right, bottom] = ["left", "top", "right", "bottom"].map((edge) => Math.round(part[edge] * 1e4) / 1e4);
  return [left, top, right - left, bottom - top].map((value) => value.toFixed(4)).join(",");
}

/** The part as fractions of the upright photo, {left, top, right, bottom}. */
export const currentPart = () => ({ ...part });

export function setPart(wanted) {
  part = { ...WHOLE, ...wanted };
  draw();
}

export function onPartChanged(listener) {
  changed = listener;
}

function draw() {
  frame.style.left = `${part.left * 100}%`;
  frame.style.top = `${part.top * 100}%`;
  frame.style.width = `${(part.right - part.left) * 100}%`;
  frame.style.height = `${(part.bottom - part.top) * 100}%`;
  frame.classList.toggle("crop-whole", isWhole());
  show(byId("whole"), !isWhole());
  for (const edge of EDGES) {
    sliders[edge].value = Math.round(part[edge] * 100);
    sliders[edge].setAttribute("aria-valuetext", formatPercent(part[edge]));
  }
  changed();
}

function moveEdge(edge, value) {
  if (edge === "left") part.left = clamp(value, 0, part.right - LEAST);
  if (edge === "right") part.right = clamp(value, part.left + LEAST, 1);
  if (edge === "top") part.top = clamp(value, 0, part.bottom - LEAST);
  if (edge === "bottom") part.bottom = clamp(value, part.top + LEAST, 1);
}

function dragCorner(corner, start, dx, dy) {
  moveEdge(corner.includes("w") ? "left" : "right", (corner.includes("w") ? start.left : start.right) + dx);
  moveEdge(corner.includes("n") ? "top" : "bottom", (corner.includes("n") ? start.top : start.bottom) + dy);
}

function dragFrame(start, dx, dy) {
  const x = clamp(dx, -start.left, 1 - start.right);
  const y = clamp(dy, -start.top, 1 - start.bottom);
  part = { left: start.left + x, right: start.right + x, top: start.top + y, bottom: start.bottom + y };
}

function begin(event) {
  const corner = event.target.dataset.corner;
  if (event.button !== 0 || (corner === undefined && isWhole())) return; // the page scrolls under a finger
  event.preventDefault();
  const start = currentPart();
  const { width, height } = box.getBoundingClientRect();
  const { clientX, clientY } = event;
  const move = (moved) => {
    const [dx, dy] = [(moved.clientX - clientX) / width, (moved.clientY - clientY) / height];
    if (corner === undefined) dragFrame(start, dx, dy);
    else dragCorner(corner, start, dx, dy);
    draw();
  };
  const end = () => {
    frame.removeEventListener("pointermove", move);
    frame.removeEventListener("pointerup", end);
    frame.removeEventListener("pointercancel", end);
  };
  frame.setPointerCapture(event.pointerId);
  frame.addEventListener("pointermove", move);
  frame.addEventListener("pointerup", end);
  frame.addEventListener("pointercancel", end);
}

/** Offer parts that the service suggests, [{x, y, w, h}]; none where it suggests none. */
export function offerParts(suggested, chosen) {
  const buttons = suggested.map(({ x, y, w, h }, place) => {
    const choose = () => {
      setPart({ left: x, top: y, right: x + w, bottom: y + h });
      chosen();
    };
    const name = _("Part %(number)s", { number: formatNumber(place + 1) });
    return make("button", { type: "button", class: "btn btn-sm btn-outline-primary", onclick: choose }, name);
  });
  byId("suggested").replaceChildren(...buttons);
  show(byId("suggested"), buttons.length > 0);
}

frame.addEventListener("pointerdown", begin);
byId("whole").addEventListener("click", () => setPart(WHOLE));
for (const edge of EDGES) {
  sliders[edge].addEventListener("input", () => {
    moveEdge(edge, Number(sliders[edge].value) / 100);
    draw();
  });
}
