// What the shopper has entered, kept for this tab: a phone may drop the page while its camera is open.
import { fromDataAddress, toDataAddress } from "./photo.js";

const KEY = "pickture.draft";

/** Keep {photo, part, words, category, keep}. A photo too large for the storage is left out. */
export async function saveDraft({ photo, ...rest }) {
  const packed = photo === null ? null : { ...photo, blob: await toDataAddress(photo.blob) };
  for (const draft of [{ ...rest, photo: packed }, { ...rest, photo: null }]) {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(draft));
      return;
    } catch {
      // too large, or storage is switched off
    }
  }
}

/** What was kept, or null. */
export function loadDraft() {
  try {
    const draft = JSON.parse(sessionStorage.getItem(KEY));
    if (draft?.photo) draft.photo.blob = fromDataAddress(draft.photo.blob);
    return draft;
  } catch {
    return null; // storage is switched off, or another version wrote it
  }
}
