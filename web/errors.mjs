/** What the page can tell a person: a key of the sentences in i18n.mjs, and what to put into it. */
export class PageError extends Error {
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }

  /** Any error as one that can be told, and sent from the worker to the page. */
  static from(error) {
    if (error instanceof PageError) return error;
    const text = String(error?.message ?? error);
    return /memory|allocat/i.test(text)
      ? new PageError("error.memory", { text })
      : new PageError("error.unexpected", { text });
  }
}
