/** What the page does with the answers of a classifier. */

import { drawCost } from "./answer.mjs";
import { $, element } from "./document.mjs";
import { percent, t } from "./i18n.mjs";
import { readable } from "./state.mjs";

/** @import { Model, Named } from "./types.ts" */

const TOP = 5;

export const pictures = true;

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
 * @param {Named} outcome
 * @param {Model} model
 * @param {string[]} watched
 * @param {boolean} among
 */
export function draw(outcome, model, watched, among) {
  const order = ranked(outcome);
  const [best, share] = order[0];
  const who = readable(model.classes[best]);
  const sure = isSure(outcome, model);
  $("scores").hidden = false;
  $("who").classList.toggle("unsure", !sure);
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
 * @param {Named} outcome
 * @param {Model} model
 */
export function row(outcome, model) {
  const [best, share] = ranked(outcome)[0];
  const who = readable(model.classes[best]);
  const sure = isSure(outcome, model);
  return { answer: sure ? who : t("list.unsure", { who }), figure: percent(share), sure };
}

/**
 * @param {string} name - of the picture
 * @param {Named} outcome
 * @param {Model} model
 */
export function spoken(name, outcome, model) {
  const [best, share] = ranked(outcome)[0];
  const values = { name, who: readable(model.classes[best]), percent: percent(share) };
  return t(isSure(outcome, model) ? "answer.spoken" : "answer.spokenUnsure", values);
}

/** @param {Model} model */
export function head({ classes }) {
  return ["picture", "answer", "confidence", "sure", "error", "milliseconds", ...classes];
}

/**
 * @param {Named} outcome
 * @param {Model} model
 */
export function lines(outcome, model) {
  const { decode, run } = outcome.milliseconds;
  const [best, share] = ranked(outcome)[0];
  const scores = [...outcome.probabilities].map((value) => value.toFixed(6));
  const sure = isSure(outcome, model) ? "yes" : "no";
  return [[model.classes[best], share.toFixed(6), sure, "", (decode + run).toFixed(1), ...scores]];
}

/**
 * The classes of an outcome, most likely first: [index, probability] each.
 *
 * @param {Named} outcome
 */
function ranked({ probabilities }) {
  return [...probabilities.entries()].sort((a, b) => b[1] - a[1]);
}

/**
 * Whether the model commits itself.
 *
 * @param {Named} outcome
 * @param {Model} model
 */
function isSure({ probabilities }, model) {
  return Math.max(...probabilities) >= model.threshold;
}

/**
 * The probabilities of some classes; among them: as if there were no others, which is the softmax
 * of their logits.
 *
 * @param {Named} outcome
 * @param {number[]} classes - their numbers
 * @param {boolean} among
 */
function shares({ probabilities }, classes, among) {
  const found = classes.map((index) => probabilities[index]);
  const sum = among ? found.reduce((all, one) => all + one, 0) : 1;
  return found.map((one) => (sum ? one / sum : 0));
}
