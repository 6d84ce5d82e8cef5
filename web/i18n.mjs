/** The page's language: a file of sentences each, of which one is loaded; a task may add some. */

/** @import { Language, Sentences, Values } from "./types.ts" */

const KEY = "springfield-language";

export const languages = /** @type {Language[]} */ (["en", "ru"]);
/** @type {Language} */
export let language = languages.find((name) => name === remembered()) ?? preferred();
/** @type {Sentences} */
export let sentences = {};
/** What adds to them, or takes their place: a task, or the playground. */
let more = "";
/** @type {Map<string, Intl.NumberFormat>} those of a language are dear to make */
const formats = new Map();

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is switched off
  }
}

function preferred() {
  const wanted = navigator.languages.map((name) => name.slice(0, 2));
  const known = wanted.find((name) => languages.includes(/** @type {Language} */ (name)));
  return /** @type {Language | undefined} */ (known) ?? "en";
}

/**
 * Loads a language and makes it that of the page.
 *
 * @param {Language} name
 * @param {string} also - a task with sentences of its own
 */
export async function useLanguage(name = language, also = more) {
  const files = also ? [name, `${name}.${also}`] : [name];
  const loaded = await Promise.all(files.map((file) => import(`./${file}.mjs`)));
  sentences = Object.assign({}, ...loaded.map((file) => file.default));
  [language, more] = [name, also];
}

/**
 * Changes the language of the page, for the next visits too.
 *
 * @param {Language} name
 */
export async function setLanguage(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // only this visit
  }
  await useLanguage(name);
}

/**
 * A sentence; a value `n` chooses its plural.
 *
 * @param {string} key
 * @param {Values} values
 */
export function t(key, values = {}) {
  let sentence = sentences[key];
  if (typeof sentence === "object") {
    const plural = new Intl.PluralRules(language).select(Number(values.n));
    sentence = sentence[plural] ?? sentence.other;
  }
  return sentence.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : value;
  });
}

/**
 * @param {number} value
 * @param {Intl.NumberFormatOptions} options
 */
export function formatted(value, options) {
  const key = `${language} ${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.NumberFormat(language, options)));
  return format.format(value);
}

/** @param {number} value */
export function number(value, digits = 0) {
  return formatted(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/**
 * A probability as a percentage: tenths where they matter.
 *
 * @param {number} value
 */
export function percent(value) {
  const fine = (value >= 0.0005 && value < 0.0995) || (value > 0.99 && value < 0.9995);
  const digits = fine ? 1 : 0;
  return formatted(value, {
    style: "percent",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/**
 * A time span that people read: milliseconds below a second.
 *
 * @param {number} milliseconds
 */
export function duration(milliseconds) {
  return milliseconds < 999.5
    ? formatted(milliseconds, { style: "unit", unit: "millisecond", maximumSignificantDigits: 3 })
    : formatted(milliseconds / 1000, { style: "unit", unit: "second", maximumSignificantDigits: 2 });
}
