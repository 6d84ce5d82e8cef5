/** What the page knows, in one object, and what follows from it. */

import { language } from "./i18n.mjs";

/** @import { Answer, Done, Entry, Parts, State } from "./types.ts" */

/** @returns {Done} what a first visitor finds */
export function nothingDone() {
  return {
    wanted: { device: "auto" },
    entries: [],
    current: null,
    shift: null,
    watched: [],
    among: false,
    folder: [],
  };
}

export const STEP = 5;
/** Of a shift, in percent, if nobody chose another. */

/**
 * @param {Parts} parts
 * @returns {State}
 */
export function start(parts) {
  const done = nothingDone();
  return {
    ...done,
    past: [],
    language,
    predictor: null,
    coming: null,
    undoable: false,
    tried: done.wanted,
    model: null,
    parts,
    loading: null,
    message: null,
    answers: new Map(),
    moved: null,
    asked: [],
    told: [],
    follow: true,
    samples: {},
    filter: "",
    step: STEP,
  };
}

/**
 * What Undo would bring back.
 *
 * @param {State} state
 * @returns {Done}
 */
export function done({ entries, current, shift, watched, among, folder, ...state }) {
  const wanted = state.coming && !state.undoable ? state.tried : state.wanted; // where Undo leads to
  return { wanted, entries, current, shift, watched, among, folder };
}

/**
 * The first picture without an answer.
 *
 * @param {State} state
 */
export function waiting({ entries, answers }) {
  return entries.find((entry) => !answers.has(entry));
}

/**
 * The answer to a picture; to the shown one as it was moved.
 *
 * @param {State} state
 * @param {Entry|null} entry
 * @returns {Answer|undefined}
 */
export function answerTo({ answers, current, shift, moved }, entry) {
  if (entry === current && shift && moved) return moved.answer;
  return entry ? answers.get(entry) : undefined;
}

/**
 * The paths of served pictures of which the model can know something.
 *
 * @param {State} state
 */
export function usableSamples({ samples, model }) {
  const paths = Object.keys(samples);
  return model ? paths.filter((path) => model.classes.includes(samples[path])) : paths;
}

/**
 * A class as people write it: homer_simpson is Homer Simpson.
 *
 * @param {string} name
 */
export function readable(name) {
  return name.replaceAll("_", " ").replace(/(^|\s)\p{Ll}/gu, (letter) => letter.toUpperCase());
}

/**
 * The numbers of the classes that a word means: its number, its name, or a part of the name.
 *
 * @param {string[]} classes
 * @param {string} word
 */
export function meant(classes, word) {
  const wanted = word.trim().toLowerCase();
  const numbers = [...classes.keys()];
  const exact = numbers.filter(
    (index) =>
      String(index) === wanted ||
      classes[index].toLowerCase() === wanted ||
      readable(classes[index]).toLowerCase() === wanted,
  );
  if (exact.length) return exact;
  return numbers.filter((index) => readable(classes[index]).toLowerCase().includes(wanted));
}
