/** A series and how it goes on, as a picture that fits any width. */

import { element } from "./document.mjs";
import { shown } from "./calendar.mjs";

/** @import { Continued } from "./types.ts" */

const LINES = 4;
/** Of the grid, about. */

/**
 * The newest known values, the forecast, and its intervals.
 *
 * @param {Continued} outcome
 * @param {(value: number) => string} written - a value, for people
 */
export function chart({ known, coming }, written) {
  const newest = known.times.length - 1;
  const start = { time: known.times[newest], value: known.values[newest] };
  const past = known.times.map((time, place) => ({ time, value: known.values[place] }));
  const every = [...known.values.filter((value) => !Number.isNaN(value)), ...coming.flatMap(({ intervals }) => intervals.flat()), ...coming.map(({ value }) => value)];
  const [least, most] = [every.reduce((a, b) => Math.min(a, b)), every.reduce((a, b) => Math.max(a, b))];
  const ticks = grid(least, most);
  const [low, high] = [Math.min(least, ticks[0]), Math.max(most, ticks[ticks.length - 1])];
  const [first, end] = [known.times[0], coming[coming.length - 1].time];
  const x = (/** @type {number} */ time) => (100 * (time - first)) / (end - first);
  const y = (/** @type {number} */ value) => (100 * (high - value)) / (high - low || 1);
  const point = (/** @type {{time: number, value: number}} */ { time, value }) => `${x(time)},${y(value)}`;
  const bands = coming[0].intervals.map((_, level) => {
    const side = (/** @type {0|1} */ one) => coming.map(({ time, intervals }) => ({ time, value: intervals[level][one] }));
    const points = [start, ...side(1), ...side(0).reverse()].map(point).join(" ");
    return drawn("polygon", { points, class: "band" });
  });
  const plot = drawn("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  plot.append(
    ...ticks.map((value) => drawn("line", { x1: "0", x2: "100", y1: String(y(value)), y2: String(y(value)), class: "rule" })),
    ...bands.reverse(),
    ...runs(past).map((one) => drawn("polyline", { points: one.map(point).join(" "), class: "past" })),
    drawn("polyline", { points: [start, ...coming].map(point).join(" "), class: "coming" }),
  );
  const sides = ticks.map((value) => label("tick", written(value), "top", y(value)));
  const days = [first, start.time, end].map((time, place) => {
    const day = label("day", shown(time), "left", x(time));
    day.dataset.place = ["first", "middle", "last"][place];
    return day;
  });
  return element("span", { className: "chart" }, plot, ...sides, ...days);
}

/**
 * Round values between two, and a little beyond.
 *
 * @param {number} least
 * @param {number} most
 */
function grid(least, most) {
  const rough = (most - least || Math.abs(most) || 1) / LINES;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * /** @type {number} */ ([1, 2, 5, 10].find((one) => one * power >= rough));
  const first = Math.floor(least / step);
  const count = Math.ceil(most / step) - first + 1;
  return Array.from({ length: count }, (_, place) => Number(((first + place) * step).toPrecision(12)));
}

/**
 * The parts of a series between its gaps.
 *
 * @param {{time: number, value: number}[]} points
 */
function runs(points) {
  /** @type {{time: number, value: number}[][]} */
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
