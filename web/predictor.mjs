/** The worker as seen from the page: calls that answer with promises. */

import { PageError } from "./errors.mjs";

/** @import { Model, Options, Outcome, Progress, Question, Shift } from "./types.ts" */
/** @typedef {{resolve: (value: any) => void, reject: (error: PageError) => void}} Waiting */

export class Predictor {
  #worker = new Worker("worker.mjs", { type: "module" });
  /** @type {Map<number, Waiting>} the calls without an answer */
  #waiting = new Map();
  #calls = 0;

  /** @param {(progress: Progress) => void} onprogress - of downloads */
  constructor(onprogress) {
    this.#worker.onmessage = ({ data: { id, value, error, progress } }) => {
      if (progress) return onprogress(progress);
      const { resolve, reject } = /** @type {Waiting} */ (this.#waiting.get(id));
      this.#waiting.delete(id);
      if (error) reject(new PageError(error.key, error.values));
      else resolve(value);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#end(new PageError("error.workerFailed", { text: event.message ?? "" }));
    };
  }

  /**
   * @param {Options} options
   * @returns {Promise<Model|Question>}
   */
  load(options) {
    return this.#call("load", options);
  }

  /**
   * @param {File} file
   * @param {Shift|null} shift
   * @returns {Promise<Outcome>}
   */
  answer(file, shift = null) {
    return this.#call("answer", { file, shift });
  }

  close() {
    this.#worker.terminate();
    this.#end(new PageError("error.stopped"));
  }

  /**
   * @param {"load"|"answer"} call
   * @param {object} options
   * @returns {Promise<any>}
   */
  #call(call, options) {
    return new Promise((resolve, reject) => {
      const id = ++this.#calls;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, call, options });
    });
  }

  /** @param {PageError} error */
  #end(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
