// What every page of the dashboard does; all of it works without, too.
import { facts } from "../common/text.js";
import { guardForms } from "./forms.js";

const moment = new Intl.DateTimeFormat(facts.language, { dateStyle: "medium", timeStyle: "short" });

/** Times come in UTC; people live in their own. */
export function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = moment.format(new Date(time.dateTime));
  }
}

localTimes(document);
guardForms(document);
document.querySelector('.menu [aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "center" });
document.querySelector("#problem")?.focus();
document.documentElement.dataset.ready = "";
