// What every page of the dashboard does; all of it works without, too.
import { guardForms } from "./forms.js";
import { showLogs, startLive } from "./live.js";
import { localTimes } from "./times.js";
import { keepTyped } from "./typed.js";

export { localTimes };

localTimes(document);
guardForms(document);
keepTyped();
startLive(document);
showLogs(document);
document.querySelector('.menu [aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "center" });
document.querySelector("#problem")?.focus();
document.documentElement.dataset.ready = "";
