/** Reads a CSV of times and values as a regular series, as series/reading/table.py does. */

import { regular, shown } from "./calendar.mjs";
import { PageError } from "./errors.mjs";

/** @import { Columns, Series } from "./types.ts" */
/** @typedef {{time: number, value: number}} Row - NaN: no value */
/** @typedef {{time: number, zone?: string}} When - in milliseconds; NaN: no time */

const SEPARATORS = [",", ";", "\t", "|"];
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const ISO =
  /^(\d{4})(?:-?(\d\d)(?:-?(\d\d)(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)? ?(Z|[+-]\d\d(?::?\d\d)?)?)?)?)?$/;
/** @type {Record<string, string>} a part of a time by its directive of strptime */
const PARTS = {
  "%Y": "(?<year>\\d{4})",
  "%y": "(?<short>\\d\\d)",
  "%m": "(?<month>\\d\\d?)",
  "%b": "(?<word>[a-z]{3})",
  "%B": "(?<word>[a-z]{3})[a-z]*",
  "%d": "(?<day>\\d\\d?)",
  "%H": "(?<hour>\\d\\d?)",
  "%I": "(?<half>0?[1-9]|1[0-2])",
  "%p": "(?<noon>[ap]m)",
  "%M": "(?<minute>\\d\\d?)",
  "%S": "(?<second>\\d\\d?)",
  "%f": "(?<fraction>\\d{1,6})",
  "%z": "(?<zone>Z|[+-]\\d\\d:?\\d\\d)",
  "%%": "%",
};
const NAMES = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");

/**
 * The series of a CSV: any usual separator and encoding, decimal points or commas.
 *
 * @param {Uint8Array} bytes
 * @param {Columns} columns
 * @returns {Series}
 */
export function readTable(bytes, columns) {
  const text = decoded(bytes);
  const head = /** @type {string} */ (text.split(/\r\n|[\r\n]/).find((line) => line.trim()));
  const count = (/** @type {string} */ separator) => head.split(separator).length;
  const [separator] = SEPARATORS.toSorted((a, b) => count(b) - count(a));
  if (count(separator) < 2) throw new PageError("error.oneColumn", { name: head.trim().slice(0, 60) });
  const [names, ...lines] = cells(text, separator);
  if (lines.some((line) => line.length > names.length)) throw new PageError("error.moreCells");
  if (!lines.length) throw new PageError("error.noValues");
  const column = (/** @type {string} */ name) => {
    const place = names.indexOf(name);
    if (place < 0) throw new PageError("error.noColumn", { name, names: names.join(", ") });
    return lines.map((line) => line[place] ?? "");
  };
  const [times, values] = [column(columns.time), column(columns.value)];
  const when = timesOf(times, columns.time_format ?? null);
  const numbers = numbersOf(values, separator);
  const rows = when
    .map((time, place) => ({ time, value: numbers[place] }))
    .filter(({ time }) => !Number.isNaN(time));
  if (!rows.length) throw new PageError("error.noTime", { text: times[0] });
  return onTime(rows, columns.frequency);
}

/** @param {Uint8Array} bytes */
function decoded(bytes) {
  const wide = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  if (!wide && bytes.includes(0)) throw new PageError("error.noText");
  let text;
  try {
    const name = !wide ? "utf-8" : bytes[0] === 0xff ? "utf-16le" : "utf-16be";
    text = new TextDecoder(name, { fatal: true }).decode(bytes);
  } catch {
    if (wide) throw new PageError("error.noText");
    text = new TextDecoder("windows-1252").decode(bytes);
  }
  if (!text.trim()) throw new PageError("error.emptyFile");
  return text;
}

/**
 * The cells of each line that has any, without the blanks around them; RFC 4180.
 *
 * @param {string} text
 * @param {string} separator
 */
function cells(text, separator) {
  const rest = `([^${separator}\\r\\n]*)`;
  const cell = new RegExp(` *(?:"((?:[^"]|"")*)"${rest}|${rest})([${separator}]|\\r\\n|[\\r\\n]|$)`, "y");
  const lines = [];
  for (let line = []; cell.lastIndex < text.length; ) {
    const [, quoted, after, plain, end] = /** @type {RegExpExecArray} */ (cell.exec(text));
    line.push((quoted === undefined ? plain : quoted.replaceAll('""', '"') + after).trim());
    if (end === separator && cell.lastIndex < text.length) continue;
    if (end === separator) line.push("");
    if (line.some(Boolean)) lines.push(line);
    line = [];
  }
  return lines;
}

/**
 * Times in milliseconds, as they are written or in UTC; NaN where there is none.
 *
 * @param {string[]} texts
 * @param {string|null} form - as of strptime; null: ISO 8601
 */
function timesOf(texts, form) {
  const found = texts.map(form ? formatted(form) : iso);
  const plain = found.findIndex(({ time, zone }) => !zone && !Number.isNaN(time));
  if (plain >= 0 && found.some(({ zone }) => zone)) throw new PageError("error.noZone", { text: texts[plain] });
  return found.map(({ time }) => time);
}

/**
 * @param {string} text
 * @returns {When}
 */
function iso(text) {
  const found = ISO.exec(text);
  if (!found) return { time: NaN };
  const [, year, month, day, hour, minute, second, fraction, zone] = found;
  return time([year, month, day, hour, minute, second].map(numberOr), fraction, zone);
}

/**
 * @param {string|undefined} text
 * @param {number} place - of year, month, day, hour, minute, second
 */
function numberOr(text, place) {
  return Number(text ?? (place === 1 || place === 2 ? 1 : 0));
}

/**
 * @param {number[]} parts - year, month, day, hour, minute, second
 * @param {string} [fraction] - of a second, its digits
 * @param {string} [zone]
 * @returns {When}
 */
function time([year, month, day, hour, minute, second], fraction = "", zone = undefined) {
  const thousandths = Number(fraction.slice(0, 3).padEnd(3, "0"));
  const date = Date.UTC(year, month - 1, day, hour, minute, second, thousandths);
  const real = new Date(Date.UTC(year, month - 1, day));
  const there = real.getUTCMonth() === month - 1 && hour < 24 && minute < 60 && second < 60;
  if (!there) return { time: NaN };
  if (!zone || zone === "Z") return { time: date, zone };
  const [, hours, minutes] = /** @type {RegExpExecArray} */ (/(\d\d):?(\d\d)?/.exec(zone));
  const offset = (Number(hours) * 60 + Number(minutes ?? 0)) * 60_000;
  return { time: zone[0] === "-" ? date + offset : date - offset, zone };
}

/**
 * What reads times of a form.
 *
 * @param {string} form
 * @returns {(text: string) => When}
 */
function formatted(form) {
  const source = form.replace(/%.|[.*+?^${}()|[\]\\]/g, (found) => {
    if (found[0] !== "%") return `\\${found}`;
    if (!(found in PARTS)) throw new PageError("error.timeFormat", { format: form });
    return PARTS[found];
  });
  const pattern = new RegExp(`^${source}$`, "i");
  return (/** @type {string} */ text) => {
    const found = pattern.exec(text)?.groups;
    if (!found) return { time: NaN };
    const { year, short, month, word, day, half, noon, minute, second, fraction, zone } = found;
    const century = Number(short) < 69 ? 2000 : 1900; // as POSIX has it
    const named = word ? String(NAMES.indexOf(word.toLowerCase()) + 1) : month;
    const full = short ? String(century + Number(short)) : (year ?? "1900");
    const afternoon = noon?.toLowerCase() === "pm" ? 12 : 0;
    const hour = half ? String((Number(half) % 12) + afternoon) : found.hour;
    return time([full, named, day, hour, minute, second].map(numberOr), fraction, zone);
  };
}

/**
 * Numbers; NaN where there is none.
 *
 * @param {string[]} texts
 * @param {string} separator
 */
function numbersOf(texts, separator) {
  const commas =
    separator !== "," &&
    texts.some((text) => /^-?[\d.\s]*\d,\d+$/.test(text)) &&
    !texts.some((text) => /^-?[\d,\s]*\d\.\d+$/.test(text));
  const plain = commas ? texts.map((text) => text.replace(/[.\s]/g, "").replace(",", ".")) : texts;
  return plain.map((text) => (NUMBER.test(text) ? Number(text) : NaN));
}

/**
 * Values at every time from the first to the last, up to the last one that has any.
 *
 * Of lines with the same time one counts; none, where they contradict each other.
 *
 * @param {Row[]} rows
 * @param {string} frequency
 * @returns {Series}
 */
function onTime(rows, frequency) {
  /** @type {Map<number, Set<number>>} */
  const several = new Map();
  for (const { time, value } of rows) {
    const values = several.get(time) ?? new Set();
    several.set(time, Number.isNaN(value) ? values : values.add(value));
  }
  const sorted = [...several.keys()].sort((a, b) => a - b);
  const times = regular(sorted[0], sorted[sorted.length - 1], frequency);
  const known = new Set(times);
  const beside = sorted.filter((time) => !known.has(time));
  if (beside.length > sorted.length / 2) {
    throw new PageError("error.irregular", { frequency, time: shown(beside[0]), first: shown(sorted[0]) });
  }
  const values = times.map((time) => {
    const [value, ...others] = several.get(time) ?? [];
    return others.length ? NaN : (value ?? NaN);
  });
  const last = values.findLastIndex((value) => !Number.isNaN(value));
  return last < 0 ? { times, values } : { times: times.slice(0, last + 1), values: values.slice(0, last + 1) };
}
