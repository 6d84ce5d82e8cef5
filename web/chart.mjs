/** A series and how it goes on, as a picture that fits any width. */

import { element } from "./document.mjs";
import { shown } from "./calendar.mjs";
import { formatted } from "./i18n.mjs";

/** @import { Continued } from "./types.ts" */
/** @typedef {{time: number, value: number}} Point */

const LINES = 4;
/** Of the grid, about. */

/**
 * The newest known values, the forecast, and its intervals.
 *
 * @param {Continued} outcome
 */
export function chart({ known, coming }) {
  const past = known.times.map((time, place) => ({ time, value: known.values[place] }));
  const start = past[past.length - 1];
  const [first, end] = [past[0].time, coming[coming.length - 1].time];
  const ends = coming.flatMap(({ value, intervals }) => [value, ...intervals.flat()]);
  const values = [...known.values.filter((value) => !Number.isNaN(value)), ...ends];
  const ticks = grid(Math.min(...values), Math.max(...values));
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  const x = (/** @type {number} */ time) => (100 * (time - first)) / (end - first);
  const y = (/** @type {number} */ value) => (100 * (high - value)) / (high - low);
  const line = (/** @type {Point[]} */ points) =>
    points.map(({ time, value }) => `${x(time)},${y(value)}`).join(" ");
  const bands = coming[0].intervals.map((_, level) => {
    const side = (/** @type {0|1} */ one) =>
      coming.map(({ time, intervals }) => ({ time, value: intervals[level][one] }));
    return drawn("polygon", { points: line([start, ...side(1), ...side(0).reverse()]), class: "band" });
  });
  const plot = drawn("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  plot.append(
    ...ticks.map((value) => drawn("polyline", { points: `0,${y(value)} 100,${y(value)}`, class: "rule" })),
    ...bands.reverse(), // the widest below
    ...runs(past).map((points) => drawn("polyline", { points: line(points), class: "past" })),
    drawn("polyline", { points: line([start, ...coming]), class: "coming" }),
  );
  const sides = ticks.map((value) => label("tick", tick(value), "top", y(value)));
  const days = [first, start.time, end].map((time) => label("day", shown(time), "left", x(time)));
  return element("span", { className: "chart" }, plot, ...sides, ...days);
}

/** @param {number} value - a round one, of any size */
function tick(value) {
  return formatted(value, { maximumSignificantDigits: 12 });
}

/**
 * Round values, from one that is not above the least to one that is not below the most.
 *
 * @param {number} least
 * @param {number} most
 */
function grid(least, most) {
  const rough = (most - least || Math.abs(most) || 1) / LINES;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * /** @type {number} */ ([1, 2, 5, 10].find((one) => one * power >= rough));
  const first = Math.floor(least / step);
  const count = Math.max(2, Math.ceil(most / step) - first + 1);
  return Array.from({ length: count }, (_, place) => Number(((first + place) * step).toPrecision(12)));
}

/**
 * The parts of a series between its gaps.
 *
 * @param {Point[]} points
 */
function runs(points) {
  /** @type {Point[][]} */
  const found = [[]];
  for (const one of points) {
    if (Number.isNaN(one.value)) found.push([]);
    else found[found.length - 1].push(one);
  }
  return found.filter((run) => run.length);
}

/**
 * @param {string} name - of an element of SVG
 * @param {Record<string, string>} attributes
 */
function drawn(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/**
 * @param {string} className
 * @param {string} textContent
 * @param {"left"|"top"} side
 * @param {number} percent
 */
function label(className, textContent, side, percent) {
  const made = element("span", { className, textContent });
  made.style.setProperty("--at", `${percent}%`);
  made.style.setProperty(side, "var(--at)");
  return made;
}
