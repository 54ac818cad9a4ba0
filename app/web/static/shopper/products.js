// How products look in lists, and the sheet that tells more of one.
import { byId, make, show } from "../common/dom.js";
import { _, formatPrice } from "../common/text.js";
import * as api from "./api.js";
import { tell } from "./problems.js";

const COLOURS = () => ({
  beige: _("beige"), black: _("black"), blue: _("blue"), brown: _("brown"), green: _("green"), grey: _("grey"),
  orange: _("orange"), pink: _("pink"), purple: _("purple"), red: _("red"), white: _("white"), yellow: _("yellow"),
});

/** A colour's name in the page's language, where it is one of the common ones. */
export const colourName = (name) => COLOURS()[name.toLowerCase()] ?? name;

export const nameOf = (product) => product.name ?? product.sku;

/** A product's picture; a grey place where it has none. */
export function picture(product, sizes) {
  if (product.image_url === null) return make("span", { class: "no-picture", "aria-hidden": "true" });
  const small = product.image_url.replace("/800.webp", "/200.webp");
  return make("img", {
    class: "picture", alt: "", loading: "lazy", decoding: "async", sizes,
    src: small, srcset: `${small} 200w, ${product.image_url} 800w`,
  });
}

/** Brand and price, below a name; what the catalogue does not say is left out. */
export function factsLine(product) {
  const price = formatPrice(product.price, product.currency);
  return make("p", { class: "facts" },
    product.brand === null ? null : make("span", {}, product.brand),
    price === null ? null : make("span", { class: "price" }, price),
    product.available ? null : make("span", { class: "badge text-bg-secondary" }, _("Not available now")),
  );
}

const sheet = byId("product");
let onAlike = () => {};

/** A web address that a catalogue names, or null: never one that runs script. */
const webAddress = (url) => (/^https?:\/\//i.test(url ?? "") ? url : null);

/** Tell more of a product; `alike(product)` follows "More like this". */
export async function openProduct(product, alike) {
  onAlike = () => {
    sheet.close();
    alike(product);
  };
  byId("product-name").textContent = nameOf(product);
  byId("product-facts").replaceChildren(picture(product, "20rem"), factsLine(product));
  show(byId("product-shop"), false);
  sheet.showModal();
  try {
    const more = await api.product(product.sku);
    const colour = more.colour ?? more.predicted.colour?.value ?? null;
    byId("product-facts").append(
      ...[
        more.description === null ? null : make("p", {}, more.description),
        more.category === null ? null : make("p", { class: "small" }, _("Category"), ": ", more.category),
        colour === null ? null : make("p", { class: "small" }, _("Colour"), ": ", colourName(colour)),
      ].filter((line) => line !== null),
    );
    const address = webAddress(more.url);
    if (address !== null) byId("product-shop").href = address;
    show(byId("product-shop"), address !== null);
  } catch (problem) {
    sheet.close();
    tell(problem, () => openProduct(product, alike));
  }
}

byId("product-close").addEventListener("click", () => sheet.close());
byId("product-alike").addEventListener("click", () => onAlike());
