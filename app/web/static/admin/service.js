// Keeps the page of the service's figures up to date. Rates are made of two of its snapshots, a minute apart.
import { byId, show } from "../common/dom.js";
import { facts, formatNumber, formatPercent } from "../common/text.js";
import { ask } from "./ask.js";

const EVERY_MS = 4000;
const WINDOW_S = 60;
const KEPT_S = 300;

const told = JSON.parse(byId("figures").textContent);
const since = byId("since");
const number = new Intl.NumberFormat(facts.language, { maximumFractionDigits: 1 });
const milliseconds = new Intl.NumberFormat(facts.language, { maximumFractionDigits: 0 });
const snapshots = [told.now];

/** What came after `first` within each bucket; both are [[upper bound or null, count], ...]. */
function between(first, last) {
  const before = new Map(first.map(([bound, count]) => [bound, count]));
  return last.map(([bound, count]) => [bound ?? Infinity, count - (before.get(bound) ?? 0)]);
}

/** As app.web.admin.figures.quantile: seconds, or null without an observation. */
function quantile(buckets, share) {
  const all = buckets.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  let [low, below] = [0, 0];
  for (const [high, within] of buckets) {
    if (within >= share * all && within > below) {
      return high === Infinity ? low : low + ((high - low) * (share * all - below)) / (within - below);
    }
    [low, below] = [high, within];
  }
  return null;
}

function seconds(value) {
  if (value === null) return "–";
  return value < 1 ? `${milliseconds.format(1000 * value)} ms` : `${number.format(value)} s`;
}

const searchesOf = (figures) => Object.values(figures.searches).reduce((sum, count) => sum + count, 0);

/** The snapshot that lies about a minute before the last one; a service that was restarted counts from zero again. */
function earlier() {
  const last = snapshots.at(-1);
  return snapshots.find((one) => last.at - one.at <= WINDOW_S) ?? last;
}

function put(name, text) {
  const place = document.querySelector(`[data-figure="${name}"]`);
  if (place !== null && place.textContent !== text) place.textContent = text;
}

function fill() {
  const last = snapshots.at(-1);
  const first = earlier();
  const span = last.at - first.at;
  for (const name of ["in_work", "waiting", "requests", "failures", "full", "limited", "decoders"]) {
    put(name, formatNumber(last[name]));
  }
  const lookedUp = last.cache.hit + last.cache.miss;
  if (lookedUp > 0) put("cache", `${formatNumber(last.cache.hit)} (${formatPercent(last.cache.hit / lookedUp)})`);
  if (last.served.length > 0) put("served", last.served.map((s) => `${s.version} (${formatNumber(s.processes)})`).join(", "));
  if (span <= 0) return;
  put("rate", number.format((last.requests - first.requests) / span));
  put("search_rate", number.format((searchesOf(last) - searchesOf(first)) / span));
  const latency = between(first.latency, last.latency);
  put("slow", seconds(quantile(latency, 0.95)));
  for (const row of document.querySelectorAll("[data-stage]")) {
    const name = row.dataset.stage;
    const buckets = name === "latency" ? latency : between(first.stages[name], last.stages[name]);
    for (const cell of row.querySelectorAll("[data-quantile]")) {
      cell.textContent = seconds(quantile(buckets, Number(cell.dataset.quantile)));
    }
  }
  const searched = searchesOf(last) - searchesOf(first);
  for (const [name, count] of Object.entries(last.searches)) {
    const now = count - first.searches[name];
    put(`verdict-${name}`, searched > 0 ? `${formatNumber(now)} (${formatPercent(now / searched)})` : formatNumber(now));
  }
}

/** A line over the snapshots: value(before, after) for each pair of neighbours. */
function draw(id, value) {
  const chart = byId(id);
  const points = snapshots.slice(1).map((after, i) => [after.at, value(snapshots[i], after)]);
  const known = points.filter(([, y]) => y !== null);
  const highest = Math.max(...known.map(([, y]) => y), 1e-9);
  const end = snapshots.at(-1).at;
  const place = ([at, y]) => `${(300 * (1 - (end - at) / KEPT_S)).toFixed(1)},${(78 - (74 * y) / highest).toFixed(1)}`;
  const line = known.length === 1 ? [known[0], known[0]] : known; // one alone is a dot
  chart.querySelector("polyline").setAttribute("points", line.map(place).join(" "));
}

function drawAll() {
  draw("chart-rate", (a, b) => (b.requests - a.requests) / (b.at - a.at));
  draw("chart-searches", (a, b) => (searchesOf(b) - searchesOf(a)) / (b.at - a.at));
  draw("chart-slow", (a, b) => quantile(between(a.latency, b.latency), 0.95));
}

function take(figures) {
  const last = snapshots.at(-1);
  if (figures.at <= last.at) return;
  if (figures.requests < last.requests) snapshots.length = 0; // the service was started anew
  snapshots.push(figures);
  while (figures.at - snapshots[0].at > KEPT_S) snapshots.shift();
  fill();
  if (snapshots.length > 1) {
    show(byId("pace-part"));
    drawAll();
  }
}

/** Say what the figures are: live, lost or ended. */
function tell(state) {
  if (since.dataset.state === state) return;
  since.dataset.state = state;
  since.textContent = since.getAttribute(`data-said-${state}`);
}

async function refresh() {
  if (document.hidden) return EVERY_MS;
  try {
    const answer = await ask(told.address);
    if (answer.status === 401) {
      tell("ended");
      return null;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    take(await answer.json());
    tell("live");
  } catch {
    tell("lost");
  }
  return EVERY_MS;
}

async function goOn() {
  const wait = await refresh();
  if (wait !== null) setTimeout(goOn, wait);
}

setTimeout(goOn, 1000);
