/**
 * Service worker: the page without a network, and with threads on hosts that send no headers.
 * It answers for what site.json lists; once another program is at this address, it goes.
 */

const SHELL = "springfield-page";
const KEPT = "springfield-files"; // download.mjs's
const OWN = ["", "site.json", "models/model.json"];
const BIG = /\.(wasm|onnx)$/; // download.mjs keeps them, by hash

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

worker.addEventListener("install", (event) => {
  event.waitUntil(install().then(() => worker.skipWaiting()));
});

// Not waited for: Firefox asks WebAssembly's threads, too, which sleep until there is work; meanwhile
// whatever the page fetches would wait for this worker.
worker.addEventListener("activate", () => void worker.clients.claim());

worker.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method === "GET" && origin === location.origin && !BIG.test(pathname)) {
    event.respondWith(answer(event.request));
  }
});

async function install() {
  const cache = await caches.open(SHELL);
  const response = await fetch("site.json", { cache: "no-cache" });
  const { files } = await response.clone().json();
  await cache.put("site.json", response);
  const names = Object.keys(files).filter((name) => !BIG.test(name) && name !== "sw.js");
  const wanted = ["./", "models/model.json", ...names];
  await cache.addAll(wanted.map((name) => new Request(name, { cache: "no-cache" })));
}

/**
 * From the server, or what it said last.
 *
 * @param {Request} request
 */
async function answer(request) {
  if (request.mode === "navigate" && !(await isHere())) return fetch(request);
  const site = await (await caches.match("site.json", { cacheName: SHELL }))?.json();
  const name = decodeURI(request.url.replace(/[?#].*/, "")).replace(worker.registration.scope, "");
  if (!site || !(OWN.includes(name) || name in site.files)) return fetch(request);
  const cache = await caches.open(SHELL);
  try {
    const response = await fetch(request, { cache: "no-cache" });
    if (response.ok) await cache.put(request, response.clone()).catch(() => {}); // storage full
    return await isolated(response, cache);
  } catch {
    const known = await cache.match(request, { ignoreSearch: true });
    return known ? isolated(known, cache) : Response.error();
  }
}

/** Whether this page is still what is served here; if not, nothing of it stays. */
async function isHere() {
  try {
    const response = await fetch("site.json", { cache: "no-cache" });
    if (response.status >= 500) return true;
    const site = await response.json().catch(() => null); // some answer every path with a page
    if (response.ok && site?.files?.["sw.js"]) return true;
  } catch {
    return true; // no network
  }
  await Promise.all([SHELL, KEPT].map((name) => caches.delete(name)));
  await worker.registration.unregister();
  return false;
}

/**
 * The answer with the headers that `springfield app` sends.
 *
 * @param {Response} response
 * @param {Cache} cache
 */
async function isolated(response, cache) {
  if (response.headers.has("Cross-Origin-Embedder-Policy") || !response.ok) return response;
  const site = await (await cache.match("site.json"))?.json();
  const headers = new Headers({ ...Object.fromEntries(response.headers), ...site?.headers });
  return new Response(response.body, { status: response.status, headers });
}
