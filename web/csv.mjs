/**
 * The list of answers as CSV (UTF-8 with a mark for spreadsheets, comma, CRLF as in RFC 4180).
 *
 * What a spreadsheet would take for a formula begins with an apostrophe.
 *
 * @param {unknown[][]} rows
 */
export function toCsv(rows) {
  return `\ufeff${rows.map((row) => row.map(quoted).join(",")).join("\r\n")}\r\n`;
}

/** @param {unknown} value */
function quoted(value) {
  const text = String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
