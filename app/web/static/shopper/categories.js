// Narrowing to a category: large, then medium, then small.
import { byId, make, show } from "../common/dom.js";
import { _, formatNumber } from "../common/text.js";
import * as api from "./api.js";

const levels = ["large", "medium", "small"].map((level) => byId(`category-${level}`));
let whole = true; // whether the tree came whole; else branches are asked for as they are chosen
let tree = [];

/** The chosen path, as POST /v1/search takes it; null for all. */
export const chosenCategory = () => [...levels].reverse().find((level) => level.value !== "")?.value ?? null;

export async function loadCategories(wanted) {
  const found = await api.categories();
  tree = found.categories;
  whole = !found.truncated;
  fill(0, tree);
  tellChoice();
  show(byId("narrow"), tree.length > 0);
  if (wanted) await choosePath(wanted);
}

/** Choose a path; what the shop does not have any more is left at "All". */
export async function choosePath(path) {
  let nodes = tree;
  for (const [place, level] of levels.entries()) {
    const node = nodes.find((one) => path === one.path || path.startsWith(`${one.path} > `));
    level.value = node?.path ?? "";
    nodes = node ? await childrenOf(node) : [];
    if (place + 1 < levels.length) fill(place + 1, nodes);
  }
  tellChoice();
}

async function childrenOf(node) {
  if (node.children.length === 0 && !whole) node.children = (await api.categories(node.path)).categories;
  return node.children;
}

function fill(place, nodes) {
  const options = nodes.map((node) =>
    make("option", { value: node.path }, `${node.name} (${formatNumber(node.products)})`),
  );
  levels[place].replaceChildren(make("option", { value: "" }, _("All")), ...options);
  show(levels[place].parentElement, place === 0 || nodes.length > 0);
  for (const deeper of levels.slice(place + 1)) {
    deeper.replaceChildren(make("option", { value: "" }, _("All")));
    show(deeper.parentElement, false);
  }
}

function tellChoice() {
  const path = chosenCategory();
  byId("narrowed").textContent = path ?? "";
  show(byId("narrowed"), path !== null);
}

const nodeOf = (path, nodes = tree) => {
  for (const node of nodes) {
    if (node.path === path) return node;
    const below = nodeOf(path, node.children);
    if (below) return below;
  }
  return null;
};

for (const [place, level] of levels.entries()) {
  level.addEventListener("change", async () => {
    tellChoice();
    if (place + 1 === levels.length) return;
    const node = nodeOf(level.value);
    // Where a branch cannot be fetched now, its parent still narrows.
    fill(place + 1, node ? await childrenOf(node).catch(() => []) : []);
    tellChoice();
  });
}
