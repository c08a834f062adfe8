// Keeps the page's files, so that it opens without a network. A new export has a new version.

const VERSION = "wavevae @VERSION@";
const NAMES = @FILES@;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(NAMES)).then(() => self.skipWaiting()));
});

/** Other instruments of the same site keep theirs: names of caches are shared, so each goes by its folder. */
self.addEventListener("activate", (event) => {
  event.waitUntil(self.clients.claim());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  event.respondWith(caches.open(VERSION).then((cache) => cache.match(event.request, { ignoreSearch: true }))
    .then((kept) => kept ?? fetch(event.request)));
});
