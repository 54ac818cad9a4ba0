// Which part of the page is seen on a phone, and what "back" does.
import { beginAt, byId } from "../common/dom.js";

const stage = byId("stage");
const titles = { ask: "ask-title", found: "found-title", alike: "alike-title" };
const reached = new Set(["ask"]);

function apply(view) {
  stage.dataset.view = reached.has(view) ? view : "ask";
}

/** Show a part and bring the reader to its heading. */
export function goTo(view) {
  reached.add(view);
  if (history.state?.view !== view) history.pushState({ view }, "");
  apply(view);
  beginAt(byId(titles[stage.dataset.view]));
}

export const currentView = () => stage.dataset.view;

window.addEventListener("popstate", (event) => apply(event.state?.view ?? "ask"));
history.replaceState({ view: "ask" }, "");
for (const button of document.querySelectorAll("[data-to]")) {
  button.addEventListener("click", () => goTo(button.dataset.to));
}
