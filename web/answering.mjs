/** The pictures that wait for an answer, and those that are moved. */

import { Predictor } from "./predictor.mjs";
import { PageError } from "./errors.mjs";
import { waiting } from "./state.mjs";
import { act, set, state, tell } from "./store.mjs";

/** @import { Answer, Entry, Shift } from "./types.ts" */

const BROKEN = ["error.memory", "error.unexpected", "error.workerFailed"];
/** After these the worker starts anew, for the next picture. */

/** @type {Promise<void>|null} */
let working = null;

/** Answers picture after picture until none waits. */
export function work() {
  return (working ??= answerAll().finally(() => (working = null)));
}

async function answerAll() {
  for (let entry; state.predictor && (entry = waiting(state)); ) {
    const used = state.predictor;
    const answer = await look(used, entry);
    if (used !== state.predictor || !state.entries.includes(entry)) continue; // another model, or undone
    const answers = new Map(state.answers).set(entry, answer);
    set(state.follow ? { answers, current: entry, shift: null, moved: null } : { answers });
    if (answer.error && BROKEN.includes(answer.error.key)) await restart();
  }
  if (state.predictor) set({ asked: [], told: state.asked.length ? state.asked : state.told });
}

/**
 * @param {Predictor} used
 * @param {Entry} entry
 * @param {Shift|null} [shift]
 * @returns {Promise<Answer>}
 */
async function look(used, { file }, shift) {
  try {
    return { outcome: await used.answer(file, shift) };
  } catch (error) {
    return { error: PageError.from(error) };
  }
}

/** The same model in a fresh worker. */
async function restart() {
  state.predictor?.close();
  const fresh = new Predictor(() => {});
  set({ predictor: fresh });
  try {
    await fresh.load(state.wanted);
  } catch (error) {
    if (state.predictor !== fresh) return;
    tell(error, { again: true });
    dropWaiting();
  }
}

export function dropWaiting() {
  const entries = state.entries.filter((entry) => state.answers.has(entry));
  const current = state.current && entries.includes(state.current) ? state.current : entries.at(-1);
  const asked = state.asked.filter((entry) => entries.includes(entry));
  act({ entries, asked, current: current ?? null });
}

let looking = false;

/** Answers the shown picture where it was moved to; the newest place, if there were several. */
export async function lookMoved() {
  if (looking) return;
  looking = true;
  while (state.predictor && state.current && state.shift && state.moved?.shift !== state.shift) {
    const { predictor, current, shift } = state;
    const answer = await look(predictor, current, shift);
    if (predictor !== state.predictor || current !== state.current || !state.shift) continue;
    set({ moved: { shift, answer }, told: [current] });
  }
  looking = false;
}
