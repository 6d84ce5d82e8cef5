/** Asks what an ONNX file does not say of itself: size, mean, std, labels. */

import { $ } from "./document.mjs";
import { PageError } from "./errors.mjs";
import { t } from "./i18n.mjs";

/** @import { Form, Question } from "./types.ts" */

const USUAL = 224;
/** Side that most networks are made for. */

/**
 * Shows the form until it is filled in or closed.
 *
 * @param {Question} question
 * @param {string} name - of the file
 * @returns {Promise<Form|null>} null: closed
 */
export function askForm({ asks, classes }, name) {
  const { type, channels, layout, width, height } = asks;
  const size = width && height ? `${width} × ${height}` : "?";
  $("form-about").textContent = t("form.about", { name, type, size, channels, layout });
  $("form-size").hidden = Boolean(width && height);
  $("form-width").value = String(width ?? (type === "float32" ? USUAL : ""));
  $("form-height").value = String(height ?? (type === "float32" ? USUAL : ""));
  $("form-width").required = $("form-height").required = type === "float32";
  $("form-scale").hidden = type !== "float32";
  $("form-labels").hidden = classes.length > 0;
  $("form-classes").value = classes.join("\n");
  $("form-problem").textContent = "";
  $("form-open").onclick = () => $("form-file").click();
  $("form-file").onchange = async () => {
    const [file] = $("form-file").files ?? [];
    $("form-file").value = "";
    if (file) $("form-classes").value = await file.text().catch(() => "");
  };
  $("form-dialog").showModal();
  return new Promise((resolve) => {
    const end = (/** @type {Form|null} */ form) => {
      resolve(form);
      $("form-dialog").close();
    };
    $("form-dialog").onclose = () => resolve(null);
    $("form-cancel").onclick = () => end(null);
    $("form").onsubmit = (event) => {
      event.preventDefault();
      try {
        end(filledIn(channels));
      } catch (error) {
        const { key, values } = PageError.from(error);
        $("form-problem").textContent = t(key, values);
      }
    };
  });
}

/**
 * @param {number} channels
 * @returns {Form}
 */
function filledIn(channels) {
  return {
    width: Number($("form-width").value) || null,
    height: Number($("form-height").value) || null,
    mean: numbersIn($("form-mean").value, channels, (one) => Number.isFinite(one)),
    std: numbersIn($("form-std").value, channels, (one) => one > 0),
    classes: labelsIn($("form-classes").value),
  };
}

/**
 * One number, or one for each channel.
 *
 * @param {string} text
 * @param {number} channels
 * @param {(one: number) => boolean} fits
 */
function numbersIn(text, channels, fits) {
  const found = text.split(/[\s,;]+/).filter(Boolean).map(Number);
  if (![1, channels].includes(found.length) || !found.every(fits)) {
    throw new PageError("error.noNumbers", { n: channels, text });
  }
  return found;
}

/**
 * Labels as JSON (a list, or an object by number), or one a line.
 *
 * @param {string} text
 * @returns {string[]}
 */
function labelsIn(text) {
  if (/^\s*[[{]/.test(text)) {
    try {
      return Object.values(JSON.parse(text)).map(String);
    } catch {
      // lines that begin with a bracket
    }
  }
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter(Boolean);
}
