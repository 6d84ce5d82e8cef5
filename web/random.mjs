/** What is drawn at random, and the pictures to try. */

import { PageError } from "./errors.mjs";

/** @import { Task } from "./types.ts" */

const SOME = 10;
/** Labels to watch at random. */

/** @type {unknown} */
let drawnLast = null;

/**
 * A picture that is served with the page.
 *
 * @param {string} path
 * @param {string} name - of its class
 */
export async function sampleFile(path, name) {
  const response = await fetch(encodeURI(path)).catch(() => null);
  if (!response?.ok) throw new PageError("error.serverGone", { path });
  const blob = await response.blob();
  return new File([blob], path.replace("samples/", `${name}_`), { type: blob.type });
}

/**
 * One of several, and not the last one again.
 *
 * @template T
 * @param {T[]} several
 */
export function another(several) {
  const others = several.filter((one) => one !== drawnLast);
  const from = others.length ? others : several;
  const drawn = from[Math.floor(Math.random() * from.length)];
  drawnLast = drawn;
  return drawn;
}

/**
 * Some of several, each once.
 *
 * @template T
 * @param {T[]} several
 */
export function some(several) {
  const left = [...several];
  const count = Math.min(SOME, left.length);
  return Array.from({ length: count }, () => left.splice(Math.floor(Math.random() * left.length), 1)[0]);
}

/**
 * What is served with the page: classes by path of pictures, and the task of the model. Without
 * them it does all else.
 *
 * @returns {Promise<{samples: Record<string, string>, task: Task}>}
 */
export async function findSite() {
  try {
    const { samples = {}, task = "classification" } = await (await fetch("site.json")).json();
    return { samples, task };
  } catch {
    return { samples: {}, task: "classification" }; // the model will tell that the server is gone
  }
}
