// The service's API (/v1), as any app uses it, with a session of the page's own.
import { facts } from "../common/text.js";

const INSTALLATION = "pickture.installation";
const SESSION = "pickture.session";
const SESSION_LEFT_MS = 30_000; // a session about to end is not begun with

/** What went wrong: the service's stable code; here also `network` (no answer) and `not_an_image`. */
export class Problem extends Error {
  constructor(code, status = 0, retryAfter = null) {
    super(code);
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const read = (store, key) => {
  try {
    return store.getItem(key);
  } catch {
    return null; // storage is switched off: everything lasts as long as the page
  }
};

const write = (store, key, value) => {
  try {
    if (value === null) store.removeItem(key);
    else store.setItem(key, value);
  } catch {
    // as above
  }
};

/** A random UUID, version 4. `crypto.randomUUID` is missing where a page is served without TLS. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function installation() {
  let id = read(localStorage, INSTALLATION);
  if (!/^[0-9a-f-]{36}$/.test(id ?? "")) {
    id = randomId();
    write(localStorage, INSTALLATION, id);
  }
  return id;
}

let opening = null;
let opened = JSON.parse(read(sessionStorage, SESSION) ?? "null");

const usable = () => opened !== null && Date.parse(opened.expires_at) - Date.now() > SESSION_LEFT_MS;

function forgetSession(token) {
  if (opened?.token !== token) return; // somebody has opened the next one already
  opened = null;
  write(sessionStorage, SESSION, null);
}

/** The session in use, opened where there is none: {token, expires_at, words}. */
export async function session() {
  if (usable()) return opened;
  opening ??= open().finally(() => {
    opening = null;
  });
  return opening;
}

async function open() {
  const response = await send("/web/sessions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ installation_id: installation() }),
  });
  if (!response.ok) throw await problemOf(response);
  opened = await response.json();
  write(sessionStorage, SESSION, JSON.stringify(opened));
  return opened;
}

async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("network");
  }
}

async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  return new Problem(body.code ?? "internal", response.status, Number(response.headers.get("Retry-After")) || null);
}

/** One request. A session that has ended meanwhile is replaced once, unseen. */
async function call(method, path, body = null, mayRenew = true) {
  const { token } = await session();
  const headers = { Authorization: `Bearer ${token}` };
  if (body !== null) headers["Content-Type"] = "application/json";
  const response = await send(path, { method, headers, body: body === null ? null : JSON.stringify(body) });
  if (response.status === 401 && mayRenew) {
    forgetSession(token);
    return call(method, path, body, false);
  }
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? null : response.json();
}

export const categories = (parent = null) =>
  call("GET", `/v1/categories?${parent === null ? "depth=3" : new URLSearchParams({ parent, depth: "1" })}`);
export const product = (sku) => call("GET", `/v1/products/${encodeURIComponent(sku)}`);
export const feedback = (said) => call("POST", "/v1/feedback", said);
export const recommend = (asked) => call("POST", "/v1/recommendations", asked);
export const forgetQuery = (queryId) => call("DELETE", `/v1/queries/${queryId}`);

/** Search with the fields of POST /v1/search. `onSent(share)` is told how much has gone up; 1: all of it. */
export async function search(fields, onSent, signal, mayRenew = true) {
  const { token } = await session();
  try {
    return await upload(fields, token, onSent, signal);
  } catch (error) {
    if (error.status !== 401 || !mayRenew) throw error;
    forgetSession(token);
    return search(fields, onSent, signal, false);
  }
}

function upload(fields, token, onSent, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Blob) form.append(name, value, name);
    else form.append(name, value);
  }
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // unlike fetch it tells how much has been sent
    request.open("POST", "/v1/search");
    request.responseType = "json";
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onSent(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      if (request.status === 200 && request.response !== null) resolve(request.response);
      else {
        const wait = Number(request.getResponseHeader("Retry-After")) || null;
        reject(new Problem(request.response?.code ?? "internal", request.status, wait));
      }
    });
    request.addEventListener("error", () => reject(new Problem("network")));
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

export const maxUploadBytes = facts.maxUploadBytes;
