/** @import { Values } from "./types.ts" */

/** What the page can tell a person: a key of the sentences in en.mjs, and what to put into it. */
export class PageError extends Error {
  /**
   * @param {string} key
   * @param {Values} values
   */
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }

  /**
   * Any error as one that can be told, and sent from the worker to the page.
   *
   * @param {any} error - whatever was thrown
   */
  static from(error) {
    if (error instanceof PageError) return error;
    const text = String(error?.message ?? error);
    return /memory|allocat/i.test(text)
      ? new PageError("error.memory", { text })
      : new PageError("error.unexpected", { text });
  }
}

/**
 * A module, when it is needed.
 *
 * @param {string} name
 * @returns {Promise<any>}
 */
export async function part(name) {
  try {
    return await import(`./${name}.mjs`);
  } catch {
    throw new PageError("error.serverGone", { path: `${name}.mjs` });
  }
}
