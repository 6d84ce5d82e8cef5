/** Draws what is known of the model, and the classes to choose from. */

import { deviceName } from "./answer.mjs";
import { $, element } from "./document.mjs";
import { number, percent, t } from "./i18n.mjs";
import { meant, readable } from "./state.mjs";

/** @import { Model, State, Values } from "./types.ts" */

/**
 * How much a model knows.
 *
 * @param {Model} model
 * @returns {Values}
 */
export function known({ classes, forecasting }) {
  if (!forecasting) return { n: classes.length };
  const { columns, window, horizon } = forecasting;
  const { time, value, frequency } = columns;
  return { n: horizon, window, time, value, frequency };
}

/**
 * The model: its facts.
 *
 * @param {Model} model
 */
export function drawModel(model) {
  const { task, classes, name, megabytes, metrics, threshold, hashes } = model;
  const summary = { ...known(model), name, device: deviceName(model) };
  $("model-summary").textContent = t("model.summary", summary);
  const facts = [
    ["model.file", `${name}, ${t("model.size", { megabytes: number(megabytes, 1) })}`],
  ];
  if (classes.length) facts.push(["model.threshold", threshold ? percent(threshold) : t("model.always")]);
  if (metrics.test?.n) {
    const written = Object.entries(metrics.test).map(([score, value]) => [score, number(value, 3)]);
    const values = { ...Object.fromEntries(written), n: metrics.test.n };
    facts.push(["model.scores", t("model.accuracy", values)]);
  }
  for (const kind of /** @type {const} */ (["data", "params", "code"])) {
    if (hashes[kind]) facts.push([`model.${kind}`, hashes[kind]]);
  }
  $("watch").hidden = task !== "classification";
  $("known").replaceChildren(
    ...classes.map((name) => element("li", { textContent: readable(name) })),
  );
  $("facts").replaceChildren(
    ...facts.flatMap(([key, value]) => [
      element("dt", { textContent: t(key) }),
      element("dd", { textContent: value }),
    ]),
  );
}

/**
 * The choices that led to the model, also after others that failed.
 *
 * @param {Model} model
 * @param {State["wanted"]} wanted
 * @param {boolean} loading - another one
 */
export function drawWanted({ name, served }, { device }, loading) {
  if (loading) return;
  $("from-disk").hidden = served;
  $("from-disk").textContent = t("model.disk", { name });
  $("version").value = served ? name : "";
  $("device").value = device;
}

/**
 * The classes to choose from, as check boxes.
 *
 * @param {Model} model
 * @param {string[]} watched
 * @param {string} filter - words, by commas
 */
export function drawClasses({ classes }, watched, filter) {
  const words = filter.split(",").filter((word) => word.trim());
  const shown = words.length
    ? [...new Set(words.flatMap((word) => meant(classes, word)))]
    : [...classes.keys()];
  const focused = document.activeElement?.closest("#classes input");
  const boxes = shown.map((index) => {
    const [value, checked] = [classes[index], watched.includes(classes[index])];
    const box = element("input", { type: "checkbox", value, checked });
    const number = element("span", { className: "number", textContent: String(index) });
    return element("label", {}, box, number, element("span", { textContent: readable(value) }));
  });
  $("classes").replaceChildren(...boxes);
  if (!focused) return;
  const { value } = /** @type {HTMLInputElement} */ (focused);
  boxes.find(({ control }) => /** @type {HTMLInputElement} */ (control).value === value)?.control?.focus();
}

/**
 * @param {string[]} watched
 * @param {boolean} among
 */
export function drawWatched(watched, among) {
  $("watch-count").textContent = watched.length ? t("watch.count", { n: watched.length }) : "";
  $("watch-none").disabled = !watched.length;
  $("among").checked = among;
}
