/** Which model answers. */

import { lookMoved, work } from "./answering.mjs";
import * as classification from "./classification.mjs";
import { $ } from "./document.mjs";
import { part } from "./errors.mjs";
import { language, useLanguage } from "./i18n.mjs";
import { Predictor } from "./predictor.mjs";
import { act, set, state, tell } from "./store.mjs";

/** @import { Model, Options, Parts, State, Task } from "./types.ts" */

/** What was chosen last: the model that is loading, if there is one. */
export function chosen() {
  return state.coming ? state.tried : state.wanted;
}

/**
 * Whether these options load another model than what is loaded, or loading.
 *
 * @param {Options} options
 */
export function isOther({ device, name, file, form }) {
  const now = chosen();
  return now.device !== device || now.name !== name || now.file !== file || now.form !== form;
}

/**
 * What the page does for a task; its sentences are loaded, too.
 *
 * @param {Task} task
 * @returns {Promise<Parts>}
 */
export async function partsOf(task) {
  if (task === "classification") {
    await useLanguage(language, "");
    return classification;
  }
  const parts = await part(task);
  $("tasks").removeAttribute("disabled"); // its style
  await useLanguage(language, task);
  return parts;
}

/**
 * Loads a model; the one before stays until the new one answered.
 *
 * @param {Options} options
 * @param {boolean} undoable
 */
export async function load(options, undoable = state.model !== null) {
  state.coming?.close();
  const next = new Predictor((loading) => {
    if (state.coming === next) set({ loading });
  });
  set({ message: null, tried: options, loading: { loaded: 0, total: NaN }, coming: next, undoable });
  try {
    let model = await next.load(options);
    if ("asks" in model) {
      const { askForm } = await part("form");
      const form = await askForm(model, options.file?.name ?? "");
      if (form) model = await next.load((options = { ...options, form }));
    }
    if (!("asks" in model)) {
      const parts = await partsOf(model.task);
      if (state.coming === next) use(next, model, parts, options, undoable);
      return;
    }
    next.close(); // nothing was said of the file
    if (state.coming === next) set({ loading: null, coming: null });
  } catch (error) {
    next.close();
    if (state.coming !== next) return; // another one was chosen meanwhile
    set({ loading: null, coming: null });
    tell(error, { again: !options.file, file: options.file?.name });
  }
  work();
}

/**
 * @param {Predictor} next
 * @param {Model} model
 * @param {Parts} parts
 * @param {Options} wanted
 * @param {boolean} undoable
 */
function use(next, model, parts, wanted, undoable) {
  state.predictor?.close();
  const { watched } = state;
  const others = undoable && parts.pictures !== state.parts.pictures;
  /** @type {Partial<State>} what it cannot look at goes */
  const gone = others ? { entries: [], current: null, shift: null, folder: [] } : {};
  const { entries } = { ...state, ...gone };
  const changes = {
    ...gone,
    predictor: next,
    coming: null,
    loading: null,
    message: noteOn(model, entries.length > 0),
    model,
    parts,
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

/**
 * @param {Model} model
 * @param {boolean} again - there is something to look at once more
 */
function noteOn({ gpuFailed, kept, name }, again) {
  if (gpuFailed) return { key: "note.gpuFailed" };
  if (!kept) return { key: isSecureContext ? "note.storage" : "note.insecure" };
  return again && state.answers.size ? { key: "note.modelChanged", values: { name } } : null;
}
