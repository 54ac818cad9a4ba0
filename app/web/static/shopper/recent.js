// Recent searches. They are kept on this device and nowhere else.
import { byId, make, show } from "../common/dom.js";
import { _, formatMoment } from "../common/text.js";
import { nameOf } from "./products.js";

const KEY = "pickture.recent";
const MOST = 8;

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return []; // storage is switched off, or another version wrote it
  }
}

function save(searches) {
  // Where the storage is full, the oldest go.
  for (let count = searches.length; count >= 0; count -= 1) {
    try {
      localStorage.setItem(KEY, JSON.stringify(searches.slice(0, count)));
      return;
    } catch {
      // one fewer
    }
  }
}

/** Remember a search: {at, thumbnail, words, category, answer}. */
export function remember(search) {
  save([search, ...load()].slice(0, MOST));
}

function entry(search, open) {
  const first = search.answer.candidates[0];
  const name = search.words ?? (first ? nameOf(first.product) : _("Nothing found"));
  const what = make("span", { class: "recent-text" },
    make("span", { class: "recent-name" }, name),
    make("span", { class: "small text-body-secondary" }, formatMoment(search.at)),
  );
  const seen = search.thumbnail === null
    ? make("span", { class: "no-picture", "aria-hidden": "true" })
    : make("img", { class: "picture", alt: "", src: search.thumbnail });
  return make("li", {}, make("button", { type: "button", class: "recent-entry", onclick: () => open(search) }, seen, what));
}

/** Show what is remembered; `open(search)` shows its answer again. */
export function showRecent(open) {
  const searches = load();
  byId("recent-list").replaceChildren(...searches.map((search) => entry(search, open)));
  show(byId("recent-some"), searches.length > 0);
  show(byId("recent-none"), searches.length === 0);
}

export function forgetRecent() {
  save([]);
}
