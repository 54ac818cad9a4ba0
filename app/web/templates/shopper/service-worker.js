// Keeps the page's own files on the device, so that it opens at once and says so when there is no network.
// Photos, answers and pictures of products are never kept here.
const told = {{ told | safe }};
const CACHE = `pickture-${told.version}`;
const PAGE = "/";

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(CACHE).then((cache) => cache.addAll([...told.files, PAGE])).then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE && name.startsWith("pickture-")).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

const pageOrKept = (request) =>
  fetch(request).catch(async () => (await caches.match(PAGE)) ?? Response.error());

const keptOrFile = async (request) => (await caches.match(request)) ?? fetch(request);

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== self.location.origin) return;
  if (request.mode === "navigate" && address.pathname === PAGE) event.respondWith(pageOrKept(request));
  else if (told.files.includes(address.pathname)) event.respondWith(keptOrFile(request));
});
