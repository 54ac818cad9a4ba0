// The shopper's way: ask, find, pick, look at what is alike.
import { byId, show } from "../common/dom.js";
import { _, formatNumber, formatPercent } from "../common/text.js";
import { startAlike } from "./alike.js";
import * as api from "./api.js";
import { showCandidates } from "./candidates.js";
import { choosePath, chosenCategory, loadCategories } from "./categories.js";
import { cropField, currentPart, offerParts, onPartChanged, setPart } from "./crop.js";
import { loadDraft, saveDraft } from "./draft.js";
import { offerInstalling } from "./install.js";
import { prepare, thumbnail } from "./photo.js";
import { clearProblem, tell } from "./problems.js";
import { forgetRecent, remember, showRecent } from "./recent.js";
import { goTo } from "./view.js";

let photo = null; // {blob, width, height, seen}
let preview = null; // its address on this device
let found = null; // {answer, kept}
let working = null; // the search on its way, to cancel

const words = () => (byId("words-part").hidden ? "" : byId("words").value.trim());
const keep = () => photo !== null && words() === "" && byId("keep").checked;

const entered = () => ({
  photo, part: currentPart(), words: byId("words").value, category: chosenCategory(), keep: byId("keep").checked,
});

/** What is there decides what can be done. */
function update() {
  show(byId("photo-part"), photo !== null);
  show(byId("sources"), photo === null);
  show(byId("consent"), photo !== null && words() === ""); // what is picked by words is not what the photo shows
  byId("search").disabled = working !== null || (photo === null && words() === "");
}

function setPhoto(next, part) {
  photo = next;
  if (preview !== null) URL.revokeObjectURL(preview);
  preview = photo?.seen ? URL.createObjectURL(photo.blob) : null;
  if (preview === null) byId("preview").removeAttribute("src");
  else byId("preview").src = preview;
  for (const id of ["cropper", "edges"]) show(byId(id), preview !== null);
  show(byId("unseen"), photo !== null && preview === null);
  byId("photo-facts").textContent = photo === null ? "" : factsOf(photo);
  offerParts([], null);
  setPart(part);
  update();
}

function factsOf({ blob, width, height, seen }) {
  const size = _("%(kilobytes)s kB", { kilobytes: formatNumber(Math.max(1, Math.round(blob.size / 1000))) });
  const pixels = seen ? _("%(width)s × %(height)s pixels", { width: formatNumber(width), height: formatNumber(height) }) : null;
  return [pixels, size].filter((part) => part !== null).join(" · ");
}

async function takeFile(file) {
  if (!file) return;
  clearProblem();
  try {
    setPhoto(await prepare(file), {});
    byId("keep").checked = false; // the consent was to another photo
  } catch (problem) {
    tell(problem);
    return;
  }
  await saveDraft(entered());
  byId("search").focus({ preventScroll: true });
}

function fieldsOf() {
  const fields = {};
  if (photo !== null) fields.photo = photo.blob;
  if (words() !== "") fields.text = words();
  if (photo?.seen && cropField() !== null) fields.crop = cropField();
  if (chosenCategory() !== null) fields.category = chosenCategory();
  if (keep()) fields.keep_photo = "true";
  return fields;
}

function tellProgress(share) {
  const sending = share !== null && share < 1;
  byId("progress-text").textContent = sending
    ? _("Sending the photo: %(share)s", { share: formatPercent(share) }) : _("Looking through the shop …");
  if (sending) byId("progress-bar").value = share;
  else byId("progress-bar").removeAttribute("value");
}

async function search() {
  if (working !== null || byId("search").disabled) return;
  clearProblem();
  working = new AbortController();
  update();
  tellProgress(photo === null ? null : 0);
  show(byId("progress"));
  try {
    await saveDraft(entered());
    const kept = keep();
    const answer = await api.search(fieldsOf(), tellProgress, working.signal);
    await rememberSearch(answer);
    showAnswer({ answer, kept });
  } catch (problem) {
    if (problem.name !== "AbortError") tell(problem, search);
    if (problem.code === "category_not_found") await loadCategories(null).catch(tell);
  } finally {
    working = null;
    show(byId("progress"), false);
    update();
  }
}

async function rememberSearch(answer) {
  const seen = photo === null ? null : await thumbnail(photo);
  const candidates = answer.candidates.map(({ heat_map: _left, known_since: _out, ...rest }) => rest);
  remember({
    at: Date.now(), thumbnail: seen, words: words() || null, category: chosenCategory(), answer: { ...answer, candidates },
  });
  showRecent(openRecent);
}

function showAnswer({ answer, kept }) {
  found = { answer, kept };
  showCandidates(answer, pick);
  offerParts(answer.suggested_crops, search);
  show(byId("kept"), kept);
  byId("taken-back").textContent = "";
  goTo("found");
}

function openRecent(search) {
  clearProblem();
  byId("words").value = search.words ?? "";
  showAnswer({ answer: search.answer, kept: false });
  if (search.category !== null) choosePath(search.category);
}

/** The pick is told to the shop on the side: what the shopper wants are the recommendations. */
async function say(said) {
  try {
    await api.feedback({ query_id: found.answer.query_id, ...said });
  } catch (problem) {
    if (problem.code !== "query_not_found") tell(problem, () => say(said));
  }
}

async function pick({ product }) {
  clearProblem();
  const telling = say({ outcome: "picked", sku: product.sku });
  await startAlike(product, found.answer.query_id);
  await telling;
}

async function none() {
  await say({ outcome: "none_of_these" });
  show(byId("none-said"));
  byId("none-said").focus();
}

async function takeBack() {
  try {
    await api.forgetQuery(found.answer.query_id);
  } catch (problem) {
    if (problem.code !== "query_not_found") {
      tell(problem, takeBack);
      return;
    }
  }
  found.kept = false;
  show(byId("kept"), false);
  byId("taken-back").textContent = _("The shop has deleted your photo.");
}

/** What the service can do here; until it answers, a photo can be chosen and cropped all the same. */
async function connect(draft) {
  try {
    const { words: searchable } = await api.session();
    show(byId("words-part"), searchable);
    await loadCategories(draft?.category ?? chosenCategory());
    update();
  } catch (problem) {
    tell(problem, () => connect(draft));
  }
}

function listen() {
  for (const id of ["take", "choose"]) {
    byId(id).addEventListener("change", ({ target }) => {
      const [file] = target.files;
      target.value = ""; // the same photo may be chosen again
      takeFile(file);
    });
  }
  byId("ask").addEventListener("dragover", (event) => event.preventDefault());
  byId("ask").addEventListener("drop", (event) => {
    event.preventDefault();
    takeFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => takeFile(event.clipboardData.files[0]));
  byId("another").addEventListener("click", () => {
    setPhoto(null, {});
    saveDraft(entered());
    byId("choose").focus();
  });
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  byId("words").addEventListener("input", update);
  byId("search-form").addEventListener("change", () => saveDraft(entered()));
  byId("cancel").addEventListener("click", () => working?.abort());
  byId("none").addEventListener("click", none);
  byId("take-back").addEventListener("click", takeBack);
  byId("recent-forget").addEventListener("click", () => {
    forgetRecent();
    showRecent(openRecent);
    byId("ask-title").focus();
  });
  onPartChanged(() => update());
}

function start() {
  listen();
  const draft = loadDraft();
  byId("words").value = draft?.words ?? "";
  byId("keep").checked = draft?.keep ?? false;
  setPhoto(draft?.photo ?? null, draft?.part ?? {});
  showRecent(openRecent);
  document.documentElement.dataset.ready = "true";
  performance.mark("pickture-ready");
  connect(draft);
  offerInstalling();
}

start();
