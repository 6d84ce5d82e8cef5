/** The list as a file. */

import { t } from "./i18n.mjs";

/** @import { Model, State } from "./types.ts" */

/**
 * The list of answers, for a spreadsheet.
 *
 * @param {State} state
 */
export function saveCsv({ answers, entries, parts, ...state }) {
  const model = /** @type {Model} */ (state.model);
  const head = parts.head(model);
  const rows = entries.flatMap((entry) => {
    const { outcome, error } = answers.get(entry) ?? {};
    const lines = outcome ? parts.lines(outcome, model) : error ? [[]] : [];
    const found = lines.map((line) => [entry.name, ...line]);
    if (error) found[0][head.indexOf("error")] = t(error.key, error.values);
    return found;
  });
  const link = document.createElement("a");
  const text = toCsv([head, ...rows]);
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "springfield.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
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
  const text = typeof value === "number" ? String(value) : String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
