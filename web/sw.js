/**
 * Service worker: the page without a network, and with threads on hosts that send no headers.
 * It answers for what site.json lists: what is kept and has the hash that is said there is not asked
 * for again. Once another program is at this address, it goes.
 */

const SHELL = "springfield-page";
const KEPT = "springfield-files"; // download.mjs's
const OWN = ["", "site.json", "models/model.json"];
const BIG = /\.(wasm|onnx)$/; // download.mjs keeps them, by hash

/** @typedef {{files: Record<string, string>, headers: Record<string, string>}} Site - hashes by name */
/** @type {Promise<Site|undefined>|undefined} what is in the cache */
let listed;

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

/** What this visit was told. */
function site() {
  return (listed ??= caches.match("site.json", { cacheName: SHELL }).then((kept) => kept?.json()));
}

/** @param {Request} request */
async function answer(request) {
  if (request.mode === "navigate" && !(await isHere())) return fetch(request);
  const { files } = (await site()) ?? {};
  const name = decodeURI(request.url.replace(/[?#].*/, "")).replace(worker.registration.scope, "");
  if (!files || !(OWN.includes(name) || name in files)) return fetch(request);
  const cache = await caches.open(SHELL);
  const kept = await cache.match(request, { ignoreSearch: true });
  if (kept && (await matches(kept.clone(), files[name || "index.html"]))) return isolated(kept);
  try {
    const response = await fetch(request, { cache: "no-cache" });
    if (response.ok) await cache.put(request, response.clone()).catch(() => {}); // storage full
    return await isolated(response);
  } catch {
    return kept ? isolated(kept) : Response.error();
  }
}

/** Whether this page is still what is served here; if not, nothing of it stays. */
async function isHere() {
  try {
    const response = await fetch("site.json", { cache: "no-cache" });
    if (response.status >= 500) return true;
    const now = await response.json().catch(() => null); // some answer every path with a page
    if (response.ok && now?.files?.["sw.js"]) {
      listed = Promise.resolve(now);
      return true;
    }
  } catch {
    return true; // no network
  }
  await Promise.all([SHELL, KEPT].map((name) => caches.delete(name)));
  listed = undefined;
  await worker.registration.unregister();
  return false;
}

/**
 * Whether a file is the one that is listed: some hosts change a page, or are late with a new one.
 * As in download.mjs, which a service worker that is no module cannot import.
 *
 * @param {Response} response
 * @param {string|undefined} sha256
 */
async function matches(response, sha256) {
  if (!sha256) return false;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await response.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}

/**
 * The answer with the headers that `springfield app` sends.
 *
 * @param {Response} response
 */
async function isolated(response) {
  if (response.headers.has("Cross-Origin-Embedder-Policy") || !response.ok) return response;
  const headers = new Headers({ ...Object.fromEntries(response.headers), ...(await site())?.headers });
  return new Response(response.body, { status: response.status, headers });
}
