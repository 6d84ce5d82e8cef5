/** The worker as seen from the page: calls that answer with promises. */

import { PageError } from "./errors.mjs";

/** @import { Model, Options, Outcome, Progress, Question, Shift } from "./types.ts" */
/** @typedef {{call: "load"|"answer", options: object, resolve: (value: any) => void, reject: (error: PageError) => void}} Waiting */

/** Milliseconds after which a runtime that does not begin with several threads is given one. */
const STUCK = 10_000;

export class Predictor {
  /** @type {Map<number, Waiting>} the calls without an answer */
  #waiting = new Map();
  #calls = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  #onprogress;
  #worker;

  /** @param {(progress: Progress) => void} onprogress - of downloads */
  constructor(onprogress) {
    this.#onprogress = onprogress;
    this.#worker = this.#begin();
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
      this.#waiting.set(id, { call, options, resolve, reject });
      this.#worker.postMessage({ id, call, options });
    });
  }

  #begin() {
    const worker = new Worker("worker.mjs", { type: "module" });
    worker.onmessage = ({ data: { id, value, error, progress, starting } }) => {
      if (progress) return this.#onprogress(progress);
      if (starting !== undefined) return this.#watch(starting);
      const { resolve, reject } = /** @type {Waiting} */ (this.#waiting.get(id));
      this.#waiting.delete(id);
      if (error) reject(new PageError(error.key, error.values));
      else resolve(value);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#end(new PageError("error.workerFailed", { text: event.message ?? "" }));
    };
    return worker;
  }

  /**
   * Firefox starts threads that never run, now and then, and the worker waits for them for ever.
   *
   * @param {boolean} starting
   */
  #watch(starting) {
    clearTimeout(this.#timer);
    if (starting) this.#timer = setTimeout(() => this.#beginAgain(), STUCK);
  }

  /** All that waits, in a fresh worker of one thread. */
  #beginAgain() {
    this.#worker.terminate();
    this.#worker = this.#begin();
    for (const [id, { call, options }] of this.#waiting) {
      this.#worker.postMessage({ id, call, options: { ...options, threads: 1 } });
    }
  }

  /** @param {PageError} error */
  #end(error) {
    clearTimeout(this.#timer);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
