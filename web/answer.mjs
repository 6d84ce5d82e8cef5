/** The answer, seen and heard, of any task. */

import { $ } from "./document.mjs";
import { duration, t } from "./i18n.mjs";

/** @import { Answer, Entry, Found, Model, Named, Parts, State } from "./types.ts" */

/**
 * The answer, or that there is none, or none yet.
 *
 * @param {Entry} entry
 * @param {Answer|undefined} answer
 * @param {Model} model
 * @param {Parts} parts
 * @param {string[]} watched
 * @param {boolean} among
 */
export function drawAnswer({ name }, answer, model, parts, watched, among) {
  const { outcome, error } = answer ?? {};
  $("knows").hidden = $("loading").hidden = $("scores").hidden = true;
  $("found").hidden = $("cost").hidden = !outcome;
  $("who").classList.remove("unsure");
  if (outcome) return parts.draw(outcome, model, watched, among);
  $("who").textContent = error ? t("answer.none") : t("answer.looking", { name });
  const text = error ? t(error.key, error.values) : "";
  $("sure").textContent = error ? t("answer.error", { name, text }) : "";
}

/**
 * @param {Named|Found} outcome
 * @param {Model} model
 */
export function drawCost({ milliseconds, original, size }, model) {
  const { decode, run } = milliseconds;
  const values = {
    time: duration(decode + run),
    device: deviceName(model),
    width: original[0],
    height: original[1],
    w: size[0],
    h: size[1],
  };
  const reduced = size[0] !== original[0] || size[1] !== original[1];
  $("cost").textContent = t(reduced ? "answer.costReduced" : "answer.cost", values);
  $("cost").title = t("answer.costDetail", { decode: duration(decode), run: duration(run) });
}

/**
 * One sentence of what was done, for those who hear the page.
 *
 * @param {State} state
 */
export function spoken({ told, answers, moved, model, parts }) {
  const found = told.map((entry) => answers.get(entry));
  if (!model || !found.length || found.includes(undefined)) return "";
  if (found.length > 1) {
    const outcomes = found.flatMap((answer) => answer?.outcome ?? []);
    const sure = outcomes.filter((outcome) => parts.row(outcome, model).sure).length;
    const [n, failed] = [found.length, found.length - outcomes.length];
    return t("list.done", { n, sure, unsure: outcomes.length - sure, failed });
  }
  const { outcome, error } = /** @type {Answer} */ (moved?.answer ?? found[0]);
  const { name } = told[0];
  if (outcome) return parts.spoken(name, outcome, model);
  return error ? t("answer.error", { name, text: t(error.key, error.values) }) : "";
}

/** @param {Model} model */
export function deviceName({ device, threads }) {
  return t(`device.${device}`, { n: threads });
}
