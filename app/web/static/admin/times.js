// Times come in UTC; people live in their own.
import { facts } from "../common/text.js";

const moment = new Intl.DateTimeFormat(facts.language, { dateStyle: "medium", timeStyle: "medium" });

export function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = moment.format(new Date(time.dateTime));
  }
}
