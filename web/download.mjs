/** Big files, downloaded once, checked by their hash and kept for the next visit. */

import { PageError } from "./errors.mjs";

const KEPT = "springfield-files";

/**
 * JSON of this site, always asked for anew; the service worker has it when there is no network.
 *
 * @param {string} path
 */
export async function fetchJson(path) {
  const response = await request(path);
  try {
    return await response.json();
  } catch {
    throw new PageError("error.brokenFile", { path });
  }
}

/**
 * A file of this site, from the last visit or downloaded.
 *
 * @param {string} path
 * @param {string} sha256 - of its bytes
 * @param {(loaded: number, total: number) => void} progress - total is NaN where it is not known
 * @returns {Promise<{bytes: Uint8Array<ArrayBuffer>, kept: boolean}>} kept: the next visit has it
 */
export async function fetchFile(path, sha256, progress) {
  const cache = await openCache();
  const name = `${path}?sha256=${sha256}`;
  const known = await cache?.match(name);
  if (known) {
    const bytes = new Uint8Array(await known.arrayBuffer());
    if (await matches(bytes, sha256)) return { bytes, kept: true };
    await cache?.delete(name);
  }
  const bytes = await read(await request(path), path, progress);
  if (!(await matches(bytes, sha256))) throw new PageError("error.wrongHash", { path });
  return { bytes, kept: await keep(cache, path, name, bytes) };
}

/** @param {string} path */
async function request(path) {
  let response;
  try {
    response = await fetch(path, { cache: "no-cache" });
  } catch {
    throw new PageError("error.serverGone", { path });
  }
  if (response.status === 404) throw new PageError("error.notServed", { path });
  if (!response.ok) throw new PageError("error.serverFails", { path, status: response.status });
  return response;
}

/**
 * @param {Response} response
 * @param {string} path
 * @param {(loaded: number, total: number) => void} progress
 */
async function read(response, path, progress) {
  const packed = response.headers.has("Content-Encoding"); // the length is that of packed bytes
  const total = packed ? NaN : Number(response.headers.get("Content-Length") ?? NaN);
  const parts = [];
  let loaded = 0;
  try {
    const body = /** @type {ReadableStream<Uint8Array>} */ (response.body);
    for (const reader = body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      loaded += value.length;
      progress(loaded, total);
    }
  } catch {
    throw new PageError("error.brokeOff", { path });
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * Whether bytes have a hash; over plain http from another machine a browser cannot tell.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {string} sha256
 */
async function matches(bytes, sha256) {
  if (!globalThis.crypto?.subtle) return true;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}

async function openCache() {
  try {
    return await globalThis.caches?.open(KEPT);
  } catch {
    return undefined; // storage is switched off
  }
}

/**
 * Keeps a file instead of its earlier versions; false where the storage is full or off.
 *
 * @param {Cache|undefined} cache
 * @param {string} path
 * @param {string} name - under which it is kept
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
async function keep(cache, path, name, bytes) {
  if (!cache) return false;
  try {
    for (const { url } of await cache.keys()) {
      if (new URL(url).pathname === new URL(path, location.href).pathname) await cache.delete(url);
    }
    await cache.put(name, new Response(bytes));
    return true;
  } catch {
    return false;
  }
}
