// The candidates of a search: what each is, how sure, and how the three models voted.
import { byId, make, show } from "../common/dom.js";
import { _, formatNumber } from "../common/text.js";
import { factsLine, nameOf, picture } from "./products.js";

const verdicts = () => ({
  known: _("It is very likely one of these products."),
  unsure: _("It may be one of these products. Please look closely."),
  unknown: _("This product is probably not in this shop. These look most like it."),
});

const advice = () => ({
  dark: _("The photo is dark. More light or the flash helps."),
  bright: _("The photo is too bright. Turn away from the light."),
  blurred: _("The photo is blurred. Hold the phone still and tap the product to focus."),
  small: _("The product is small in the photo. Go nearer, or choose the part of the photo that shows it."),
  cut_off: _("The product is cut off. Step back until all of it is in the photo."),
});

// A score supposes that the shop has the product, so it says no more than the verdict lets it.
const MOST = { known: 1, unsure: 0.49, unknown: 0.19 };

/** How sure the answer is of a candidate, in words. */
function confidence(score, verdict) {
  const sure = Math.min(score, MOST[verdict]);
  if (sure >= 0.8) return { words: _("Very likely"), kind: "success" };
  if (sure >= 0.5) return { words: _("Likely"), kind: "success" };
  if (sure >= 0.2) return { words: _("Possible"), kind: "warning" };
  return { words: _("Less likely"), kind: "secondary" };
}

const voters = () => [
  ["fcn", _("Neural network (FCN)")],
  ["knn", _("Nearest photos (k-NN)")],
  ["svm", _("Linear classifier (SVM)")],
];

function voteWords(vote) {
  if (vote.state === "ranked") return _("In place %(rank)s", { rank: formatNumber(vote.rank) });
  if (vote.state === "not_ranked") return _("Knows it, did not name it");
  return _("Does not know it yet");
}

function voteTable(votes) {
  const rows = voters().map(([key, name]) => {
    const { score } = votes[key];
    return make("tr", {},
      make("th", { scope: "row" }, name),
      make("td", {}, voteWords(votes[key])),
      make("td", { class: "text-end" }, score === null ? "–" : formatNumber(Math.round(score * 1000) / 1000)),
    );
  });
  const head = make("tr", {}, ...[_("Model"), _("Vote"), _("Its own score")].map((name) => make("th", { scope: "col" }, name)));
  return make("table", { class: "table table-sm votes" }, make("thead", {}, head), make("tbody", {}, ...rows));
}

function card(candidate, verdict, pick) {
  const { product, votes } = candidate;
  const sure = votes === null ? null : confidence(candidate.score, verdict);
  const name = nameOf(product);
  const button = make("button", {
    type: "button", class: "btn btn-primary stretched", "aria-label": _("This is it: %(name)s", { name }),
    onclick: () => pick(candidate),
  }, _("This is it"));
  return make("li", { class: "candidate" },
    make("div", { class: "candidate-main" },
      picture(product, "8rem"),
      make("div", { class: "candidate-text" },
        make("h3", {}, name),
        factsLine(product),
        sure === null ? null : make("p", {}, make("span", { class: `badge text-bg-${sure.kind}` }, sure.words)),
        candidate.other_skus.length === 0 ? null
          : make("p", { class: "small text-body-secondary" },
            _("Also in other versions: %(count)s", { count: formatNumber(candidate.other_skus.length) })),
        button,
      ),
    ),
    votes === null ? null
      : make("details", { class: "candidate-votes" }, make("summary", {}, _("How the three models voted")), voteTable(votes)),
  );
}

/** Show an answer of POST /v1/search. `pick(candidate)` follows the shopper's choice. */
export function showCandidates(answer, pick) {
  const { candidates } = answer;
  const uncalibrated = answer.calibrated ? "" : _("For this shop it has not been measured how sure that is.");
  byId("verdict").textContent = candidates.length === 0 || answer.verdict === null
    ? "" : `${verdicts()[answer.verdict]} ${uncalibrated}`.trim();
  const hints = answer.advice.map(({ code, message }) => make("li", {}, advice()[code] ?? message));
  byId("advice").replaceChildren(...hints);
  show(byId("advice"), hints.length > 0);
  byId("candidates").replaceChildren(...candidates.map((candidate) => card(candidate, answer.verdict, pick)));
  show(byId("nothing"), candidates.length === 0);
  show(byId("none"), candidates.length > 0);
  show(byId("none-said"), false);
}
