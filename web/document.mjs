/** The elements of a page, and new ones. */

import { language, languages, t } from "./i18n.mjs";

/**
 * The elements of index.html of which more is used than every element has.
 *
 * @typedef {object} Special
 * @property {HTMLButtonElement} csv
 * @property {HTMLButtonElement} shift-reset
 * @property {HTMLButtonElement} take
 * @property {HTMLButtonElement} undo
 * @property {HTMLButtonElement} watch-none
 * @property {HTMLDialogElement} camera-dialog
 * @property {HTMLDialogElement} form-dialog
 * @property {HTMLFormElement} form
 * @property {HTMLFormElement} watch-form
 * @property {HTMLImageElement} shown
 * @property {HTMLInputElement} among
 * @property {HTMLInputElement} files
 * @property {HTMLInputElement} filter
 * @property {HTMLInputElement} folder-files
 * @property {HTMLInputElement} form-file
 * @property {HTMLInputElement} form-height
 * @property {HTMLInputElement} form-mean
 * @property {HTMLInputElement} form-std
 * @property {HTMLInputElement} form-width
 * @property {HTMLInputElement} model-file
 * @property {HTMLInputElement} step
 * @property {HTMLSelectElement} device
 * @property {HTMLSelectElement} version
 * @property {HTMLTextAreaElement} form-classes
 * @property {HTMLVideoElement} video
 */

/**
 * @template {string} I
 * @param {I} id - of an element of index.html
 * @returns {I extends keyof Special ? Special[I] : HTMLElement}
 */
export const $ = (id) => /** @type {any} */ (document.getElementById(id));

/**
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {Partial<HTMLElementTagNameMap[N]>} properties
 * @param {(Node|string)[]} children
 * @returns {HTMLElementTagNameMap[N]}
 */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/**
 * The elements with an attribute `data-NAME`.
 *
 * @param {string} name
 */
export function marked(name) {
  return /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(`[data-${name}]`));
}

/** All fixed texts, in the current language. */
export function drawTexts() {
  document.documentElement.lang = language;
  for (const node of marked("t")) node.textContent = t(/** @type {string} */ (node.dataset.t));
  for (const node of marked("label")) {
    node.setAttribute("aria-label", t(/** @type {string} */ (node.dataset.label)));
  }
  for (const node of marked("tip")) node.title = t(/** @type {string} */ (node.dataset.tip));
  for (const name of languages) {
    document
      .querySelector(`[data-language=${name}]`)
      ?.setAttribute("aria-pressed", String(name === language));
  }
}
