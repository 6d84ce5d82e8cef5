/** The list of pictures: a row each. */

import { $, element } from "./document.mjs";
import { language, t } from "./i18n.mjs";

/** @import { Answer, Entry, Model, Parts, State } from "./types.ts" */

/** @type {Map<Entry, HTMLTableRowElement>} */
const rows = new Map();
/** @type {WeakMap<Element, {entry: Entry, answer: Answer, language: string}>} what a row shows */
const shown = new WeakMap();

/** @param {Entry} entry */
export function rowOf(entry) {
  return rows.get(entry);
}

/**
 * The picture of a row, by something in it.
 *
 * @param {EventTarget|null} target
 */
export function entryAt(target) {
  const row = target instanceof Element && target.closest("button") && target.closest("tr");
  return row ? shown.get(row)?.entry : undefined;
}

/**
 * Brings the list up to date: only what changed is touched, for there may be thousands of rows.
 *
 * @param {Entry[]} entries
 * @param {State["answers"]} answers
 * @param {Model|null} model
 * @param {Parts} parts
 */
export function drawRows(entries, answers, model, parts) {
  const there = new Set(entries);
  for (const [entry, row] of rows) {
    if (there.has(entry) && shown.get(row)?.answer === answers.get(entry)) continue;
    row.remove();
    rows.delete(entry);
  }
  const added = [];
  for (const entry of entries) {
    const answer = answers.get(entry);
    if (!answer || !model) continue;
    let row = rows.get(entry);
    if (!row) {
      rows.set(entry, (row = newRow(entry, answer, parts)));
      added.push(row);
    } else if (shown.get(row)?.language === language) continue;
    fill(row, answer, model, parts);
    shown.set(row, { entry, answer, language });
  }
  $("rows").append(...added);
}

/**
 * @param {Entry} entry
 * @param {Answer} answer
 * @param {Parts} parts
 */
function newRow({ name }, { outcome, error }, { pictures }) {
  const button = element("button", { type: "button", className: "pick" });
  if (outcome?.thumbnail) {
    const picture = element("img", { alt: "", width: 44, height: 44 });
    picture.src = URL.createObjectURL(outcome.thumbnail);
    picture.onload = () => URL.revokeObjectURL(picture.src);
    button.append(picture);
  } else if (pictures) button.append(element("span", { className: "blank", ariaHidden: "true" }));
  button.append(element("span", { textContent: name }));
  const row = element("tr", {}, element("th", { scope: "row" }, button));
  if (error) row.append(element("td", { colSpan: 2, className: "refused" }));
  else row.append(element("td"), element("td", { className: "n" }));
  return row;
}

/**
 * @param {HTMLTableRowElement} row
 * @param {Answer} answer
 * @param {Model} model
 * @param {Parts} parts
 */
function fill(row, { outcome, error }, model, parts) {
  if (outcome) {
    const { answer, figure } = parts.row(outcome, model);
    row.cells[1].textContent = answer;
    row.cells[2].textContent = figure;
  } else if (error) row.cells[1].textContent = t(error.key, error.values);
}
