/**
 * Service worker: the page without a network, and with threads on hosts that send no headers.
 * It answers for what site.json lists: what is kept and has the hash that is said there is not asked
 * for again. Once another program is at this address, it goes.
 */

const SHELL = "springfield-page";
const KEPT = "springfield-files"; // download.mjs's
const OWN = ["", "site.json", "models/model.json"];
const WHOLE = "whole"; // the site.json whose files are all kept
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
    const answered = answer(event.request);
    event.respondWith(answered);
    if (event.request.mode === "navigate") event.waitUntil(answered.then(renew).catch(() => {}));
  }
});

async function install() {
  const cache = await caches.open(SHELL);
  const response = await fetch("site.json", { cache: "no-cache" });
  const { files } = await response.clone().json();
  await cache.put("site.json", response.clone());
  await cache.addAll(["./", "models/model.json", ...toKeep(files)].map(asNow));
  await cache.put(WHOLE, response);
}

/** @param {Site["files"]} files */
function toKeep(files) {
  return Object.keys(files).filter((name) => !BIG.test(name) && name !== "sw.js");
}

/** @param {string} name */
function asNow(name) {
  return new Request(name, { cache: "no-cache" });
}

/** After an update, keeps what no visit has asked for yet: without a network all is of one make. */
async function renew() {
  const now = await site();
  if (!now) return;
  const cache = await caches.open(SHELL);
  const before = await (await cache.match(WHOLE))?.json();
  if (JSON.stringify(now) === JSON.stringify(before)) return;
  const changed = toKeep(now.files).filter((name) => now.files[name] !== before?.files[name]);
  await cache.addAll(["./", ...changed].map(asNow));
  await cache.put(WHOLE, new Response(JSON.stringify(now)));
}

/** What this visit was told. */
function site() {
  return (listed ??= caches.match("site.json", { cacheName: SHELL }).then((kept) => kept?.json()));
}

/** @param {Request} request */
async function answer(request) {
  if (request.mode === "navigate" && !(await isHere())) return fetch(request);
  const { files } = (await site()) ?? {};
  const name = decoded(request.url.replace(/[?#].*/, "")).replace(decoded(worker.registration.scope), "");
  if (!files || !(OWN.includes(name) || name in files)) return fetch(request);
  const cache = await caches.open(SHELL);
  const mine = await cache.match(request, { ignoreSearch: true });
  if (mine && (await matches(mine.clone(), files[name || "index.html"]))) return isolated(mine);
  try {
    const response = await fetch(request, { cache: "no-cache" });
    if (response.ok) await cache.put(request, response.clone()).catch(() => {}); // storage full
    return await isolated(response);
  } catch {
    return mine ? isolated(mine) : Response.error();
  }
}

/** @param {string} url */
function decoded(url) {
  try {
    return decodeURI(url);
  } catch {
    return url; // a % that means nothing
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
