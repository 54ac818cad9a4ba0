// Products like the picked one, narrowed by brand, price and colour, more as one scrolls.
import { byId, make, show } from "../common/dom.js";
import { _, formatNumber, formatPrice } from "../common/text.js";
import * as api from "./api.js";
import { choices, clearChoices, showFacets } from "./choices.js";
import { clearProblem, tell } from "./problems.js";
import { factsLine, nameOf, openProduct, picture } from "./products.js";
import { goTo } from "./view.js";

const PAGE = 20;
let asked = null; // {product, queryId}
let cursor = null;
let turn = 0; // answers that come after the next question are not shown
let loading = false;

/** Why a product is shown, in words; shares as in docs/api.md. */
function reasons({ type, colour, look }) {
  const words = [];
  if (type === 1) words.push(_("Same type"));
  else if (type === 0.5) words.push(_("Same category"));
  else if (type === 0.25) words.push(_("Related category"));
  if (colour >= 0.7) words.push(_("Same colour"));
  else if (colour >= 0.4) words.push(_("Similar colour"));
  if (look >= 0.75) words.push(_("Looks very much alike"));
  else if (look >= 0.4) words.push(_("Looks alike"));
  return words.length > 0 ? words : [_("From elsewhere in the shop")];
}

function card({ product, why }) {
  const open = () => openProduct(product, (chosen) => startAlike(chosen, null));
  return make("li", { class: "product" },
    picture(product, "(min-width: 62rem) 12rem, 45vw"),
    make("h3", {}, make("button", { type: "button", class: "stretched", onclick: open }, nameOf(product))),
    factsLine(product),
    make("ul", { class: "reasons", "aria-label": _("Why it is shown") }, reasons(why).map((word) => make("li", {}, word))),
  );
}

/** Recommend from a picked product. queryId: the search it was picked from, or null. */
export async function startAlike(product, queryId) {
  asked = { product, queryId };
  clearChoices();
  const price = formatPrice(product.price, product.currency);
  byId("picked").replaceChildren(
    picture(product, "4rem"),
    make("p", {}, _("Like %(name)s", { name: nameOf(product) }), price === null ? null : make("span", { class: "price" }, ` ${price}`)),
  );
  byId("items").replaceChildren();
  show(byId("more"), false);
  goTo("alike");
  await load(true);
}

/** Ask for the first page, or the next. */
async function load(first) {
  if (loading && !first) return;
  const mine = (turn += 1);
  loading = true;
  const { product, queryId } = asked;
  byId("alike-status").textContent = _("Looking for products …");
  const wanted = { sku: product.sku, ...choices(), limit: PAGE };
  if (queryId !== null) wanted.query_id = queryId;
  if (!first) wanted.cursor = cursor;
  try {
    const page = await withoutLostQuery(wanted);
    if (mine !== turn) return;
    clearProblem();
    const before = byId("items").childElementCount;
    if (first) byId("items").replaceChildren();
    byId("items").append(...page.items.map(card));
    if (first) showFacets(page.facets, product.currency);
    cursor = page.next_cursor;
    tellCount(first ? 0 : before, page.items.length);
  } catch (problem) {
    if (mine !== turn) return;
    byId("alike-status").textContent = "";
    show(byId("more"), !first);
    tell(problem, () => load(first));
  } finally {
    if (mine === turn) loading = false;
  }
}

/** The search may belong to a session that has ended: the recommendations need it no more than for the shop's counts. */
async function withoutLostQuery(wanted) {
  try {
    return await api.recommend(wanted);
  } catch (problem) {
    if (problem.code !== "query_not_found") throw problem;
    asked.queryId = null;
    const { query_id: _lost, ...rest } = wanted;
    return api.recommend(rest);
  }
}

function tellCount(before, added) {
  const count = before + added;
  show(byId("more"), cursor !== null);
  byId("alike-status").textContent = count === 0
    ? _("Nothing like it passes these choices.")
    : cursor === null
      ? _("That is all: %(count)s products.", { count: formatNumber(count) })
      : _("%(count)s products so far.", { count: formatNumber(count) });
}

byId("more").addEventListener("click", async () => {
  const place = byId("items").childElementCount;
  await load(false);
  byId("items").children[place]?.querySelector("button").focus();
});
new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting) && cursor !== null && byId("problem").hidden) load(false);
}, { rootMargin: "400px" }).observe(byId("more"));
document.addEventListener("choices", () => load(true));
