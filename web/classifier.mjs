/** The worker as seen from the page: calls that answer with promises. */

import { PageError } from "./errors.mjs";

export class Classifier {
  #worker = new Worker("worker.mjs", { type: "module" });
  #waiting = new Map();
  #calls = 0;

  /** @param {(progress: {loaded: number, total: number}) => void} onprogress - of downloads */
  constructor(onprogress) {
    this.#worker.onmessage = ({ data: { id, value, error, progress } }) => {
      if (progress) return onprogress(progress);
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new PageError(error.key, error.values));
      else resolve(value);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#end(new PageError("error.workerFailed", { text: event.message ?? "" }));
    };
  }

  load(options) {
    return this.#call("load", options);
  }

  classify(file) {
    return this.#call("classify", { file });
  }

  close() {
    this.#worker.terminate();
    this.#end(new PageError("error.stopped"));
  }

  #call(call, options) {
    return new Promise((resolve, reject) => {
      const id = ++this.#calls;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, call, options });
    });
  }

  #end(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
