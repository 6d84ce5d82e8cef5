/** Which model answers. */

import { lookMoved, work } from "./answering.mjs";
import { Classifier } from "./classifier.mjs";
import { askForm } from "./form.mjs";
import { act, set, state, tell } from "./store.mjs";

/** @import { Model, Options } from "./types.ts" */

/**
 * Whether these options load another model than what is loaded, or loading.
 *
 * @param {Options} options
 */
export function isOther({ device, name, file, form }) {
  const now = state.coming ? state.tried : state.wanted;
  return now.device !== device || now.name !== name || now.file !== file || now.form !== form;
}

/**
 * Loads a model; the one before stays until the new one answered.
 *
 * @param {Options} options
 * @param {boolean} undoable
 */
export async function load(options, undoable = state.model !== null) {
  state.coming?.close();
  const next = new Classifier((loading) => {
    if (state.coming === next) set({ loading });
  });
  set({ message: null, tried: options, loading: { loaded: 0, total: NaN }, coming: next });
  let model;
  try {
    model = await next.load(options);
    if ("asks" in model) {
      const form = await askForm(model, options.file?.name ?? "");
      if (form) options = { ...options, form };
      model = form && (await next.load(options));
    }
  } catch (error) {
    next.close();
    if (state.coming !== next) return; // another one was chosen meanwhile
    set({ loading: null, coming: null });
    tell(error, { again: !options.file, file: options.file?.name });
    return;
  }
  if (model && !("asks" in model)) use(next, model, options, undoable);
  else {
    next.close(); // nothing was said of the file
    if (state.coming === next) set({ loading: null, coming: null });
  }
}

/**
 * @param {Classifier} next
 * @param {Model} model
 * @param {Options} wanted
 * @param {boolean} undoable
 */
function use(next, model, wanted, undoable) {
  state.classifier?.close();
  const { entries, watched } = state;
  const changes = {
    classifier: next,
    coming: null,
    loading: null,
    message: noteOn(model),
    model,
    wanted,
    answers: new Map(),
    moved: null,
    asked: entries,
    watched: watched.filter((name) => model.classes.includes(name)),
  };
  if (undoable) act(changes);
  else set(changes);
  work();
  lookMoved();
}

/** @param {Model} model */
function noteOn({ gpuFailed, kept, name }) {
  if (gpuFailed) return { key: "note.gpuFailed" };
  if (!kept) return { key: isSecureContext ? "note.storage" : "note.insecure" };
  return state.answers.size ? { key: "note.modelChanged", values: { name } } : null;
}
