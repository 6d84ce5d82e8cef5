/** The page's one state, and how it changes. */

import * as classification from "./classification.mjs";
import { PageError } from "./errors.mjs";
import { done, start } from "./state.mjs";
import { render } from "./view.mjs";

/** @import { State } from "./types.ts" */

export const state = start(classification);

/** @param {Partial<State>} changes */
export function set(changes) {
  Object.assign(state, changes);
  render(state);
}

/**
 * What a person did, so that Undo can take it back.
 *
 * @param {Partial<State>} changes
 */
export function act(changes) {
  set({ past: [...state.past, done(state)], ...changes });
}

/**
 * @param {unknown} error
 * @param {{again?: boolean, file?: string}} more - offer to load the model once more; about a file
 */
export function tell(error, { again = false, file } = {}) {
  const { key, values } = PageError.from(error);
  set({ message: { key, values: file ? { ...values, file } : values, again } });
}
