// Words and numbers in the page's language. Messages come with the page, see app/web/languages.py.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const messages = read("messages");

export const facts = read("facts");

/** The translation of an English sentence, with %(name)s replaced by values. */
export function _(message, values = {}) {
  return (messages[message] ?? message).replace(/%\((\w+)\)s/g, (whole, name) => String(values[name] ?? whole));
}

const number = new Intl.NumberFormat(facts.language);
const percent = new Intl.NumberFormat(facts.language, { style: "percent", maximumFractionDigits: 0 });
const moment = new Intl.DateTimeFormat(facts.language, { dateStyle: "medium", timeStyle: "short" });

export const formatNumber = (value) => number.format(value);
export const formatPercent = (share) => percent.format(share);
export const formatMoment = (milliseconds) => moment.format(milliseconds);

/** A price as the catalogue gives it (a decimal string); null where it gives none. */
export function formatPrice(price, currency) {
  if (price === null) return null;
  return new Intl.NumberFormat(facts.language, { style: "currency", currency: currency ?? facts.currency }).format(price);
}
