/** The answer to a picture, seen and heard. */

import { $, element } from "./document.mjs";
import { duration, percent, t } from "./i18n.mjs";
import { isSure, ranked, readable, shares } from "./state.mjs";

/** @import { Answer, Entry, Model, Outcome, State } from "./types.ts" */

const TOP = 5;

/**
 * @param {string} label
 * @param {number} share
 * @param {boolean} [leading]
 */
function bar(label, share, leading = false) {
  const fill = element("span", { className: "fill" });
  fill.style.setProperty("--share", String(share));
  return element(
    "li",
    { className: leading ? "leading" : "" },
    element("span", { className: "label", textContent: label }),
    element("span", { className: "value", textContent: percent(share) }),
    element("span", { className: "track", ariaHidden: "true" }, fill),
  );
}

/**
 * The answer to a picture, with the watched classes.
 *
 * @param {Entry} entry
 * @param {Answer|undefined} answer
 * @param {Model} model
 * @param {string[]} watched
 * @param {boolean} among
 */
export function drawAnswer({ name }, answer, model, watched, among) {
  const { outcome, error } = answer ?? {};
  $("knows").hidden = $("loading").hidden = true;
  $("scores").hidden = !outcome;
  $("who").classList.toggle("unsure", Boolean(outcome && !isSure(outcome, model)));
  if (!outcome) {
    $("who").textContent = error ? t("answer.none") : t("answer.looking", { name });
    const text = error ? t(error.key, error.values) : "";
    $("sure").textContent = error ? t("answer.error", { name, text }) : "";
    return;
  }
  const order = ranked(outcome);
  const [best, share] = order[0];
  const who = readable(model.classes[best]);
  const sure = isSure(outcome, model);
  $("who").textContent = sure ? who : t("answer.unsure");
  $("sure").textContent = sure
    ? t("answer.sure", { percent: percent(share) })
    : t("answer.below", { who, percent: percent(share), threshold: percent(model.threshold) });
  const bars = order
    .slice(0, TOP)
    .map(([index, value], rank) => bar(readable(model.classes[index]), value, rank === 0 && sure));
  $("top").replaceChildren(...bars);
  const chosen = watched.map((one) => model.classes.indexOf(one));
  const found = shares(outcome, chosen, among);
  $("watched").hidden = !chosen.length;
  $("watched-heading").textContent = t(among ? "answer.among" : "answer.watched");
  $("watched-bars").replaceChildren(
    ...chosen.map((index, place) => bar(readable(model.classes[index]), found[place])),
  );
  drawCost(outcome, model);
}

/**
 * @param {Outcome} outcome
 * @param {Model} model
 */
function drawCost({ milliseconds, original, size }, model) {
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
export function spoken({ told, answers, moved, model }) {
  const found = told.map((entry) => answers.get(entry));
  if (!model || !found.length || found.includes(undefined)) return "";
  if (found.length > 1) {
    const sure = found.filter((answer) => answer?.outcome && isSure(answer.outcome, model)).length;
    const failed = found.filter((answer) => answer?.error).length;
    return t("list.done", { n: found.length, sure, unsure: found.length - sure - failed, failed });
  }
  const { outcome, error } = /** @type {Answer} */ (moved?.answer ?? found[0]);
  const { name } = told[0];
  if (!outcome) return error ? t("answer.error", { name, text: t(error.key, error.values) }) : "";
  const [best, share] = ranked(outcome)[0];
  const values = { name, who: readable(model.classes[best]), percent: percent(share) };
  return t(isSure(outcome, model) ? "answer.spoken" : "answer.spokenUnsure", values);
}

/** @param {Model} model */
export function deviceName({ device, threads }) {
  return t(`device.${device}`, { n: threads });
}
