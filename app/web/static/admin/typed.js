// What was typed stays when the language is changed: this tab remembers it until the same form is there again.
const PLACE = "pickture-typed";

/** Fields that are of their page, and new with it. */
const OWN = ["once", "champion", "before"];

const formsOf = (root) => [...root.querySelectorAll('form[method="post"]')];
const addressOf = (form) => new URL(form.action, location.href).pathname;
const isChoice = (field) => field.type === "checkbox" || field.type === "radio";

/** Remember the fields of every form, without files and keys. */
function remember() {
  const kept = formsOf(document).map((form) => ({
    address: addressOf(form),
    fields: [...new FormData(form)].filter(([name, value]) => typeof value === "string" && form.elements[name]?.type !== "password"),
  }));
  sessionStorage.setItem(PLACE, JSON.stringify(kept.filter((entry) => entry.fields.length > 0)));
}

/** Whether the form is the one of before: what it says of itself without being asked is the same. */
function isSame(form, entry) {
  const said = new Map(entry.fields);
  const hidden = [...form.elements].filter((field) => field.type === "hidden" && field.name !== "etag" && !OWN.includes(field.name));
  return addressOf(form) === entry.address && hidden.every((field) => said.get(field.name) === field.value);
}

function fill(form, entry) {
  let isChanged = false;
  for (const field of form.elements) {
    const values = entry.fields.filter(([name]) => name === field.name).map(([, value]) => value);
    if (isChoice(field)) {
      isChanged ||= field.checked !== values.includes(field.value);
      field.checked = values.includes(field.value);
    } else if (values.length > 0 && field.type !== "file" && !OWN.includes(field.name)) {
      isChanged ||= field.value !== values[0];
      field.value = values[0]; // the ETag, too: whoever has saved meanwhile is still told of
    }
  }
  if (isChanged) form.closest("details")?.setAttribute("open", "");
}

function recall() {
  const kept = JSON.parse(sessionStorage.getItem(PLACE) ?? "[]");
  if (kept.length === 0) return;
  for (const form of formsOf(document)) {
    const entry = kept.find((candidate) => isSame(form, candidate));
    if (entry) fill(form, entry);
  }
  // Behind a login the form comes later.
  if (!document.querySelector("form[data-login]")) sessionStorage.removeItem(PLACE);
}

export function keepTyped() {
  recall();
  for (const link of document.querySelectorAll("[data-language]")) link.addEventListener("click", remember);
}
