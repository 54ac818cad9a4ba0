// Making and showing elements. Text is always text: nothing that comes from the catalogue is read as HTML.

export const byId = (id) => document.getElementById(id);

/** An element with attributes (an `on...` function listens, true is an empty attribute, null and false are left out). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function show(element, visible = true) {
  element.hidden = !visible;
}

/** Begin at a heading at the top of the page: the keyboard's and screen reader's place moves with what is seen. */
export function beginAt(heading) {
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  window.scrollTo({ top: 0, behavior: "instant" });
}
