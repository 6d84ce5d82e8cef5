/** What the page does with the answers of a detector: boxes over the picture, and a list of them. */

import { drawCost } from "./answer.mjs";
import { $, element } from "./document.mjs";
import { number, percent, t } from "./i18n.mjs";
import { readable } from "./state.mjs";

/** @import { Box, Found, Model } from "./types.ts" */

const GOLDEN = 137.508;
/** Degrees: hues that far apart stay apart, however many there are. */

export const pictures = true;

/**
 * @param {Found} outcome
 * @param {Model} model
 */
export function draw(outcome, model) {
  const { boxes, original } = outcome;
  const threshold = percent(model.threshold);
  $("who").textContent = t(boxes.length ? "boxes.found" : "boxes.nothing", { n: boxes.length });
  $("sure").textContent = boxes.length ? tally(boxes, model) : t("boxes.below", { threshold });
  const frames = boxes.map((box) => frame(box, original, model));
  const picture = element("span", { className: "boxes" }, ...frames);
  picture.style.setProperty("--ratio", String(original[0] / original[1]));
  $("over").replaceChildren(picture);
  const lines = boxes.map((box) => line(box, model));
  $("found").replaceChildren(...(boxes.length ? [table(lines)] : []));
  frames.forEach((one, place) => tie(lines[place], one));
  drawCost(outcome, model);
}

/**
 * A box over the picture, as far as that is: places are shares of its sides.
 *
 * @param {Box} box
 * @param {number[]} original - width and height
 * @param {Model} model
 */
function frame({ label, score, corners: [x1, y1, x2, y2] }, [width, height], model) {
  const name = `${readable(model.classes[label])} ${percent(score)}`;
  const made = element("span", { className: "box" }, element("span", { textContent: name }));
  const sides = { left: x1 / width, top: y1 / height, width: (x2 - x1) / width, height: (y2 - y1) / height };
  for (const [side, share] of Object.entries(sides)) made.style.setProperty(side, `${100 * share}%`);
  made.classList.toggle("low", y1 / height > 0.1); // there is room for its name above it
  made.classList.toggle("right", x1 + x2 > width); // it is nearer to that edge
  return coloured(made, label);
}

/**
 * @param {HTMLElement} one
 * @param {number} label
 */
function coloured(one, label) {
  one.style.setProperty("--hue", String((label * GOLDEN) % 360));
  return one;
}

/**
 * @param {Box} box
 * @param {Model} model
 */
function line({ label, score, corners }, model) {
  const mark = coloured(element("span", { className: "mark", ariaHidden: "true" }), label);
  const pick = element("button", { type: "button", className: "pick" }, mark, readable(model.classes[label]));
  const sides = corners.map((side) => number(side)).join(" ");
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, pick),
    element("td", { className: "n", textContent: percent(score) }),
    element("td", { className: "n", textContent: sides }),
  );
}

/** @param {HTMLElement[]} lines */
function table(lines) {
  const heads = ["class", "score", "corners"].map((key, place) =>
    element("th", { scope: "col", className: place ? "n" : "", textContent: t(`boxes.${key}`) }),
  );
  const head = element("thead", {}, element("tr", {}, ...heads));
  return element("div", { className: "scroll" }, element("table", {}, head, element("tbody", {}, ...lines)));
}

/**
 * Marks a box while its line has the mouse or the focus.
 *
 * @param {HTMLElement} line
 * @param {HTMLElement} box
 */
function tie(line, box) {
  const mark = () => box.classList.toggle("marked", line.matches(":hover, :focus-within"));
  line.onmouseenter = line.onmouseleave = mark;
  line.addEventListener("focusin", mark);
  line.addEventListener("focusout", () => setTimeout(mark)); // the focus is nowhere yet
}

/**
 * How many of which class, those of the best box first.
 *
 * @param {Box[]} boxes
 * @param {Model} model
 */
function tally(boxes, { classes }) {
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (const { label } of boxes) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts]
    .map(([label, n]) => readable(classes[label]) + (n > 1 ? ` × ${number(n)}` : ""))
    .join(", ");
}

/**
 * @param {Found} outcome
 * @param {Model} model
 */
export function row({ boxes }, model) {
  const sure = boxes.length > 0;
  return { answer: sure ? tally(boxes, model) : t("boxes.nothing"), figure: sure ? percent(boxes[0].score) : "", sure };
}

/**
 * @param {string} name - of the picture
 * @param {Found} outcome
 * @param {Model} model
 */
export function spoken(name, { boxes }, model) {
  const values = { name, n: boxes.length, who: tally(boxes, model) };
  return t(boxes.length ? "boxes.spoken" : "boxes.spokenNothing", values);
}

export function head() {
  return ["picture", "class", "score", "x1", "y1", "x2", "y2", "error", "milliseconds"];
}

/**
 * A line each box; one without a box, where there is none.
 *
 * @param {Found} outcome
 * @param {Model} model
 */
export function lines({ boxes, milliseconds: { decode, run } }, { classes }) {
  const time = (decode + run).toFixed(1);
  if (!boxes.length) return [["", "", "", "", "", "", "", time]];
  return boxes.map(({ label, score, corners }) => [classes[label], score, ...corners, "", time]);
}
