/** What the page does with the answers of a forecaster: a chart, and a table. */

import { deviceName } from "./answer.mjs";
import { chart } from "./chart.mjs";
import { $, element } from "./document.mjs";
import { duration, formatted, percent, t } from "./i18n.mjs";
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
  $("who").textContent = significant(coming[0].value);
  $("sure").textContent = t("series.next", next(coming[0], model));
  $("over").replaceChildren(chart(outcome, significant));
  $("found").replaceChildren(table(coming, model));
  const time = duration(milliseconds.decode + milliseconds.run);
  const values = { time, device: deviceName(model), n: count, window };
  $("cost").textContent = t("series.cost", values);
  $("cost").title = "";
}

/** @param {number} value - of any size */
function significant(value) {
  return formatted(value, { maximumSignificantDigits: 4 });
}

/** @param {Model} model */
function of(model) {
  return /** @type {Forecasting} */ (model.forecasting);
}

/** @param {number[]} ends */
function between([low, high]) {
  return t("series.between", { low: significant(low), high: significant(high) });
}

/**
 * What there is to say of a step.
 *
 * @param {Step} step
 * @param {Model} model
 */
function next({ time, value, intervals }, model) {
  const { levels } = of(model);
  const promised = intervals.map((ends, n) => `${percent(levels[n])}: ${between(ends)}`).join("; ");
  return { time: shown(time), value: significant(value), promised };
}

/**
 * @param {Step[]} coming
 * @param {Model} model
 */
function table(coming, model) {
  const { levels } = of(model);
  const names = [t("series.time"), t("series.value"), ...levels.map((level) => percent(level))];
  const heads = names.map((textContent, place) => element("th", { scope: "col", className: place ? "n" : "", textContent }));
  const rows = coming.map(({ time, value, intervals }) => {
    const cells = [significant(value), ...intervals.map(between)];
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
  const { time, value, promised } = next(coming[0], model);
  return { answer: `${time}: ${value}`, figure: promised, sure: true };
}

/**
 * @param {string} name - of the series
 * @param {Continued} outcome
 * @param {Model} model
 */
export function spoken(name, { coming }, model) {
  const last = coming[coming.length - 1];
  const ends = { n: coming.length, last: significant(last.value), end: shown(last.time) };
  return t("series.spoken", { name, ...next(coming[0], model), ...ends });
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
