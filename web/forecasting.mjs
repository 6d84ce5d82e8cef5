/** What the page does with the answers of a forecaster: a chart, and a table. */

import { deviceName } from "./answer.mjs";
import { chart } from "./chart.mjs";
import { $, element } from "./document.mjs";
import { duration, number, percent, t } from "./i18n.mjs";
import { shown } from "./calendar.mjs";

/** @import { Continued, Forecasting, Model, Step } from "./types.ts" */

export const pictures = false;

/**
 * @param {Continued} outcome
 * @param {Model} model
 */
export function draw(outcome, model) {
  const { coming, count, milliseconds } = outcome;
  const { window } = of(model);
  const written = writer(coming);
  $("who").textContent = written(coming[0].value);
  $("sure").textContent = t("series.next", next(coming[0], model, written));
  $("over").replaceChildren(chart(outcome));
  $("found").replaceChildren(table(coming, model, written));
  const time = duration(milliseconds.decode + milliseconds.run);
  const values = { time, device: deviceName(model), n: count, window };
  $("cost").textContent = t("series.cost", values);
  $("cost").title = "";
}

/**
 * What writes the values of a forecast: the ends of the narrowest interval to a hundredth of its width.
 *
 * @param {Step[]} coming
 */
function writer(coming) {
  const widths = coming.flatMap(({ intervals }) => intervals.map(([low, high]) => high - low));
  const narrowest = Math.min(...widths.filter((width) => width > 0));
  const digits = Number.isFinite(narrowest) ? 2 - Math.floor(Math.log10(narrowest)) : 2;
  return (/** @type {number} */ value) => number(value, Math.max(0, Math.min(9, digits)));
}

/** @param {Model} model */
function of(model) {
  return /** @type {Forecasting} */ (model.forecasting);
}

/** @typedef {(value: number) => string} Writer */

/**
 * @param {number[]} ends
 * @param {Writer} written
 */
function between([low, high], written) {
  return t("series.between", { low: written(low), high: written(high) });
}

/**
 * What there is to say of a step.
 *
 * @param {Step} step
 * @param {Model} model
 * @param {Writer} written
 */
function next({ time, value, intervals }, model, written) {
  const { levels } = of(model);
  const promised = intervals.map((ends, n) => `${percent(levels[n])}: ${between(ends, written)}`).join("; ");
  return { time: shown(time), value: written(value), promised };
}

/**
 * @param {Step[]} coming
 * @param {Model} model
 * @param {Writer} written
 */
function table(coming, model, written) {
  const { levels } = of(model);
  const names = [t("series.time"), t("series.value"), ...levels.map((level) => percent(level))];
  const heads = names.map((textContent, place) => element("th", { scope: "col", className: place ? "n" : "", textContent }));
  const rows = coming.map(({ time, value, intervals }) => {
    const cells = [written(value), ...intervals.map((ends) => between(ends, written))];
    const figures = cells.map((textContent) => element("td", { className: "n", textContent }));
    return element("tr", {}, element("th", { scope: "row", textContent: shown(time) }), ...figures);
  });
  const made = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
  const box = element("div", { className: "scroll", tabIndex: 0, role: "region" }, made);
  box.ariaLabel = t("series.table");
  return box;
}

/**
 * @param {Continued} outcome
 * @param {Model} model
 */
export function row({ coming }, model) {
  const { time, value, promised } = next(coming[0], model, writer(coming));
  return { answer: `${time}: ${value}`, figure: promised, sure: true };
}

/**
 * @param {string} name - of the series
 * @param {Continued} outcome
 * @param {Model} model
 */
export function spoken(name, { coming }, model) {
  const last = coming[coming.length - 1];
  const written = writer(coming);
  const ends = { n: coming.length, last: written(last.value), end: shown(last.time) };
  return t("series.spoken", { name, ...next(coming[0], model, written), ...ends });
}

/** @param {Model} model */
export function head(model) {
  const ends = of(model).levels.flatMap((level) => [`${level} low`, `${level} high`]);
  return ["series", "time", "value", ...ends, "error", "milliseconds"];
}

/** @param {Continued} outcome */
export function lines({ coming, milliseconds: { decode, run } }) {
  return coming.map(({ time, value, intervals }) => {
    const when = new Date(time).toISOString().slice(0, 19);
    return [when, value, ...intervals.flat(), "", (decode + run).toFixed(1)];
  });
}
