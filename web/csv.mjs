/** The list as a file. */

import { t } from "./i18n.mjs";
import { isSure, ranked } from "./state.mjs";

/** @import { Answer, Entry, Model, State } from "./types.ts" */

/**
 * The list of answers, for a spreadsheet.
 *
 * @param {State} state
 */
export function saveCsv(state) {
  const model = /** @type {Model} */ (state.model);
  const head = ["picture", "answer", "confidence", "sure", "error", "milliseconds"];
  const rows = state.entries.flatMap((entry) => {
    const answer = state.answers.get(entry);
    return answer ? [csvRow(entry, answer, model)] : [];
  });
  const link = document.createElement("a");
  const text = toCsv([[...head, ...model.classes], ...rows]);
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "springfield.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * @param {Entry} entry
 * @param {Answer} answer
 * @param {Model} model
 */
function csvRow({ name }, { outcome, error }, model) {
  if (!outcome) return [name, "", "", "", error && t(error.key, error.values)];
  const { decode, run } = outcome.milliseconds;
  const [best, share] = ranked(outcome)[0];
  const scores = [...outcome.probabilities].map((value) => value.toFixed(6));
  const sure = isSure(outcome, model) ? "yes" : "no";
  return [name, model.classes[best], share.toFixed(6), sure, "", (decode + run).toFixed(1), ...scores];
}

/**
 * Rows as CSV (UTF-8 with a mark for spreadsheets, comma, CRLF as in RFC 4180).
 *
 * What a spreadsheet would take for a formula begins with an apostrophe.
 *
 * @param {unknown[][]} rows
 */
function toCsv(rows) {
  return `\ufeff${rows.map((row) => row.map(quoted).join(",")).join("\r\n")}\r\n`;
}

/** @param {unknown} value */
function quoted(value) {
  const text = String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
