// Nothing typed is lost: before a form leaves the page, the service is asked whether it is there and knows who asks.
import { make } from "../common/dom.js";
import { _, facts } from "../common/text.js";
import { ask } from "./ask.js";

/** What keeps a form from being sent now, in a sentence; null where nothing does. */
async function obstacle(form) {
  let answer;
  try {
    answer = await ask(facts.alive);
  } catch {
    return _("The service cannot be reached. What you entered is still here: try again in a moment.");
  }
  if (answer.status >= 500) return _("The service is not ready. What you entered is still here: try again in a moment.");
  // Files cannot be kept for after the login; everything else is kept by the service.
  if (answer.status === 401 && form.enctype === "multipart/form-data") {
    return _("You are not logged in any more. Log in on another page of this browser, then come back and try again.");
  }
  return null;
}

function tell(form, sentence) {
  form.querySelector("[data-obstacle]")?.remove();
  if (sentence === null) return;
  const told = make("p", { class: "alert alert-danger mt-3", role: "alert", "data-obstacle": true }, sentence);
  form.append(told);
}

/** Guard the forms that change something; those that only look for something are sent at once. */
export function guardForms(root) {
  for (const form of root.querySelectorAll('form[method="post"]:not([data-login])')) {
    let cleared = false;
    form.addEventListener("submit", async (event) => {
      if (cleared) return; // nothing is in the way: the browser sends it, with the button that was pressed
      event.preventDefault();
      if ("sending" in form.dataset) return; // a second touch sends nothing twice
      form.dataset.sending = "";
      tell(form, null);
      const sentence = await obstacle(form);
      if (sentence === null) {
        cleared = true;
        form.requestSubmit(event.submitter);
        cleared = false;
      } else {
        tell(form, sentence);
        delete form.dataset.sending;
      }
    });
  }
}

// A page that comes back from the browser's memory may be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sending]")) delete form.dataset.sending;
});
