// What went wrong, in words for a shopper, and what to do about it.
import { byId, show } from "../common/dom.js";
import { _, formatNumber } from "../common/text.js";

const sentences = () => ({
  network: _("The shop cannot be reached. Check your connection and try again; nothing you entered is lost."),
  not_an_image: _("This file is no photo that can be read. Choose a JPEG, PNG, WebP or HEIC photo."),
  photo_format_unsupported: _("This file is no photo that can be read. Choose a JPEG, PNG, WebP or HEIC photo."),
  photo_damaged: _("The photo is damaged. Take it again, or choose another."),
  photo_undecodable: _("The photo cannot be read. Take it again, or choose another."),
  photo_empty: _("The photo is empty. Take it again, or choose another."),
  photo_invalid: _("The photo cannot be used. Take it again, or choose another."),
  photo_too_large: _("The photo is too large. Choose a smaller one, or take it with this page."),
  request_too_large: _("The photo is too large. Choose a smaller one, or take it with this page."),
  request_timeout: _("Sending the photo took too long. Try again where the connection is better."),
  category_not_found: _("This category is gone from the shop. Choose another."),
  product_not_found: _("This product is gone from the shop. Pick another."),
  query_not_found: _("This search has expired. Search again; your photo is still here."),
  text_not_trained: _("This shop cannot search by words yet. Use a photo."),
  limit_exceeded: _("That was a lot at once. Wait a moment and try again."),
  overloaded: _("Many people are searching at the moment. Wait a moment and try again."),
  network_busy: _("Many people are searching at the moment. Wait a moment and try again."),
  deadline_exceeded: _("The answer took too long. Try again."),
  unauthorized: _("The shop does not let this page in at the moment. Try again later."),
  forbidden: _("The shop does not let this page in at the moment. Try again later."),
  route_not_found: _("The shop has closed this page."),
});

/** A sentence for a problem; whatever is not the shopper's to mend is the shop's. */
export function sentenceOf(problem) {
  const known = sentences()[problem.code];
  const said = known ?? _("The shop cannot answer at the moment. Try again in a while; nothing you entered is lost.");
  const wait = problem.retryAfter > 1 ? _("(In %(seconds)s seconds.)", { seconds: formatNumber(problem.retryAfter) }) : "";
  return `${said} ${wait}`.trim();
}

let again = null;

/** Whether the same may succeed later: nobody answered, was let in or had time. */
const passes = ({ status }) => status === 0 || status >= 500 || [401, 408, 429].includes(status);

/** Say what went wrong, above everything else. `retry`: what "Try again" does; offered where that may help. */
export function tell(problem, retry = null) {
  if (problem.code === undefined) throw problem; // a fault of the page, not of what it asked for
  again = passes(problem) ? retry : null;
  byId("problem-text").textContent = sentenceOf(problem);
  show(byId("problem-again"), again !== null);
  show(byId("problem"));
  byId("problem").focus();
}

export function clearProblem() {
  again = null;
  show(byId("problem"), false);
}

byId("problem-close").addEventListener("click", clearProblem);
byId("problem-again").addEventListener("click", () => {
  const retry = again;
  clearProblem();
  retry?.();
});
