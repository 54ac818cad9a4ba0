// Parts of a page that the service makes anew every few seconds: data-live is where, data-every how many seconds.
// A part says itself when it need not be asked for again: it comes without data-live.
import { make } from "../common/dom.js";
import { _ } from "../common/text.js";
import { ask } from "./ask.js";
import { guardForms } from "./forms.js";
import { localTimes } from "./times.js";

/** Whether a person is at something in it that the next one would take away. */
function isInUse(part) {
  const active = document.activeElement;
  const selected = window.getSelection();
  const marks = selected !== null && !selected.isCollapsed && part.contains(selected.anchorNode);
  return marks || (part.contains(active) && !active.id) || part.querySelector("form [data-obstacle], form[data-sending]") !== null;
}

/** How far a log was read: null at its end, where it stays as lines come. */
const readUpTo = (log) => (log.scrollTop + log.clientHeight >= log.scrollHeight - 4 ? null : log.scrollTop);

/** Show the end of each log, or as much as was read of the one before. */
export function showLogs(root, read = []) {
  root.querySelectorAll(".log").forEach((log, place) => { log.scrollTop = read[place] ?? log.scrollHeight; });
}

function exchange(part, next) {
  const focused = part.contains(document.activeElement) ? document.activeElement.id : null;
  const opened = [...part.querySelectorAll("details")].map((details) => details.open);
  const read = [...part.querySelectorAll(".log")].map(readUpTo);
  localTimes(next);
  guardForms(next);
  part.replaceWith(next);
  next.querySelectorAll("details").forEach((details, place) => { details.open = opened[place] ?? details.open; });
  showLogs(next, read);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (next.dataset.state !== part.dataset.state) announce(next.dataset.state);
  next.dispatchEvent(new CustomEvent("renewed", { bubbles: true }));
}

/** Said aloud by a screen reader, where the page has a place for it. */
function announce(state) {
  const place = document.getElementById("live-status");
  if (place && state) place.textContent = state;
}

function warn(part, sentence) {
  let told = part.previousElementSibling;
  if (!told?.matches("[data-live-warning]")) {
    if (sentence === null) return;
    told = make("p", { class: "alert alert-warning", role: "status", "data-live-warning": true });
    part.before(told);
  }
  if (sentence === null) told.remove();
  else told.textContent = sentence;
}

async function renew(part) {
  let answer;
  try {
    answer = await ask(part.dataset.live);
  } catch {
    warn(part, _("The service cannot be reached at this moment. This page goes on by itself."));
    return part;
  }
  if (answer.status === 401) {
    warn(part, _("You are not logged in any more. Load the page again to log in."));
    return null;
  }
  if (!answer.ok) {
    warn(part, _("The service cannot be reached at this moment. This page goes on by itself."));
    return part;
  }
  if (isInUse(part)) return part; // since it was asked for: a button was pressed, say
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").body.firstElementChild;
  warn(part, null);
  if (next === null) return null;
  const adopted = document.adoptNode(next);
  exchange(part, adopted);
  return adopted;
}

function keepFresh(part) {
  if (!part?.dataset.live) return;
  setTimeout(async () => {
    keepFresh(document.hidden || isInUse(part) ? part : await renew(part));
  }, Number(part.dataset.every) * 1000);
}

export function startLive(root) {
  for (const part of root.querySelectorAll("[data-live]")) keepFresh(part);
}
