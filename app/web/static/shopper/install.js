// Installing the page on a device. Browsers allow it where the page came over TLS; elsewhere the page works as it is.
import { make } from "../common/dom.js";
import { facts } from "../common/text.js";

export async function offerInstalling() {
  if (!window.isSecureContext || !("serviceWorker" in navigator)) return;
  document.head.append(make("link", { rel: "manifest", href: facts.manifest }));
  try {
    await navigator.serviceWorker.register(facts.worker);
  } catch {
    // e.g. a private window: the page works without
  }
}
