// Service worker of the candidate's pages. SHELL (above) names the release and what to keep.
// It keeps the page, its modules and styles, so that a reload without a network returns to the question.
// A new worker never takes over by itself: it waits until no page of the old one is open.

const CACHE = `fupan-shell-${SHELL.release}`;
const PAGE = /^\/i\/[0-9a-f-]{36}$/;
const KEPT = /^\/(i\/modules|static)\//;
const PAGE_TIMEOUT_MS = 4000;

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", (event) => {
  if (typeof event.data?.keep === "string") event.waitUntil(keepPage(event.data.keep));
});
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (PAGE.test(url.pathname)) event.respondWith(page(request));
  else if (KEPT.test(url.pathname)) event.respondWith(kept(request));
});

async function install() {
  const cache = await caches.open(CACHE);
  await cache.addAll(SHELL.keeps);
  // Pages kept by an older worker name older modules: fetch them anew.
  for (const name of await oldCaches()) {
    for (const request of await (await caches.open(name)).keys()) {
      const url = new URL(request.url);
      if (PAGE.test(url.pathname)) await keepPage(url.pathname + url.search).catch(() => {});
    }
  }
}

async function activate() {
  for (const name of await oldCaches()) await caches.delete(name);
  await self.clients.claim();
}

async function oldCaches() {
  const names = await caches.keys();
  return names.filter((name) => name.startsWith("fupan-shell-") && name !== CACHE);
}

async function keepPage(path) {
  const cache = await caches.open(CACHE);
  await cache.add(new Request(path, { credentials: "omit" }));
}

/** The page: from the server when it answers soon, else as it was kept. */
async function page(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request, { signal: AbortSignal.timeout(PAGE_TIMEOUT_MS) });
    if (response.ok) await cache.put(request.url.split("#")[0], response.clone());
    if (response.status < 500) return response;
  } catch {
    // No network: the kept page follows.
  }
  // The page varies with the browser's language, which is not asked for again without a network.
  const known =
    (await cache.match(request, { ignoreVary: true })) ??
    (await cache.match(request, { ignoreSearch: true, ignoreVary: true }));
  return known ?? Response.error();
}

/** Modules and styles never change under one address. */
async function kept(request) {
  const known = await caches.match(request);
  if (known) return known;
  const response = await fetch(request);
  if (response.ok) await (await caches.open(CACHE)).put(request, response.clone());
  return response;
}
