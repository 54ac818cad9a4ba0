// The shopper's choices of brand, price and colour, each with what it would leave.
import { byId, make, show } from "../common/dom.js";
import { _, formatNumber, formatPrice } from "../common/text.js";
import { colourName } from "./products.js";

const chosen = { brands: new Set(), colours: new Set() };
let prices = { min: null, max: null };

/** As POST /v1/recommendations takes them. */
export function choices() {
  const wanted = {};
  for (const kind of ["brands", "colours"]) if (chosen[kind].size > 0) wanted[kind] = [...chosen[kind]];
  if (prices.min !== null) wanted.min_price = prices.min;
  if (prices.max !== null) wanted.max_price = prices.max;
  return wanted;
}

export function clearChoices() {
  chosen.brands.clear();
  chosen.colours.clear();
  prices = { min: null, max: null };
  for (const id of ["price-min", "price-max"]) byId(id).value = "";
  byId("price-wrong").textContent = "";
  tellChosen();
}

const changed = () => {
  tellChosen();
  document.dispatchEvent(new Event("choices"));
};

function tellChosen() {
  const count = chosen.brands.size + chosen.colours.size + (prices.min !== null) + (prices.max !== null);
  byId("chosen").textContent = count === 0 ? "" : formatNumber(count);
  show(byId("chosen"), count > 0);
  show(byId("choices-clear"), count > 0);
}

function option(kind, { name, count }, shown) {
  const id = `${kind}-${encodeURIComponent(name)}`;
  const box = make("input", { type: "checkbox", class: "form-check-input", id, checked: chosen[kind].has(name) });
  box.addEventListener("change", () => {
    if (box.checked) chosen[kind].add(name);
    else chosen[kind].delete(name);
    changed();
  });
  const label = make("label", { class: "form-check-label", for: id }, `${shown} (${formatNumber(count)})`);
  return make("div", { class: "form-check" }, box, label);
}

function showOptions(kind, values, shownAs) {
  // A choice that leaves nothing any more must still be there to be undone.
  const gone = [...chosen[kind]].filter((name) => !values.some((value) => value.name === name));
  const all = [...values, ...gone.map((name) => ({ name, count: 0 }))];
  byId(kind).querySelector(".options").replaceChildren(...all.map((value) => option(kind, value, shownAs(value.name))));
  show(byId(kind), all.length > 0);
}

/** Show what there is to choose, as the answer's facets say it; the keyboard's place is kept. */
export function showFacets(facets, currency) {
  const place = document.activeElement?.id;
  showOptions("brands", facets.brands, (name) => name);
  showOptions("colours", facets.colours, colourName);
  byId("price-min").placeholder = facets.price.min ?? "";
  byId("price-max").placeholder = facets.price.max ?? "";
  show(byId("prices"), facets.price.min !== null || prices.min !== null || prices.max !== null);
  const range = facets.price.min === null ? ""
    : _("The most similar ones cost %(low)s to %(high)s.", {
      low: formatPrice(facets.price.min, currency), high: formatPrice(facets.price.max, currency),
    });
  const unpriced = facets.without_price === 0 ? ""
    : _("A price leaves out products whose price is unknown: %(count)s.", { count: formatNumber(facets.without_price) });
  byId("without-price").textContent = `${range} ${unpriced}`.trim();
  show(byId("without-price"), byId("without-price").textContent !== "");
  if (place) byId(place)?.focus();
}

/** "12,5" or "12.50" -> "12.5"; null for nothing; undefined for what is no price. */
function readPrice(text) {
  const price = text.trim().replace(",", ".");
  if (price === "") return null;
  return /^\d{1,9}(\.\d{1,2})?$/.test(price) ? price : undefined;
}

function applyPrices() {
  const wanted = { min: readPrice(byId("price-min").value), max: readPrice(byId("price-max").value) };
  for (const end of ["min", "max"]) byId(`price-${end}`).setAttribute("aria-invalid", String(wanted[end] === undefined));
  const wrong = wanted.min === undefined || wanted.max === undefined;
  byId("price-wrong").textContent = wrong ? _("Write a price such as 12.50.") : "";
  if (wrong || (wanted.min === prices.min && wanted.max === prices.max)) return;
  prices = wanted;
  changed();
}

byId("choices-form").addEventListener("submit", (event) => {
  event.preventDefault();
  applyPrices();
});
for (const id of ["price-min", "price-max"]) byId(id).addEventListener("change", applyPrices);
byId("choices-clear").addEventListener("click", () => {
  clearChoices();
  changed();
  byId("choices").querySelector("summary").focus();
});
