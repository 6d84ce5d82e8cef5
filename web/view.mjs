/** Draws the page's state; changes nothing but the document. */

import { duration, language, languages, number, percent, t } from "./i18n.mjs";

/** @import { Model, Outcome, Progress, Values } from "./types.ts" */
/** @import { PageError } from "./errors.mjs" */

/**
 * A picture that a person chose: it waits, or has an outcome or an error.
 *
 * @typedef {object} Entry
 * @property {File} file
 * @property {string} name
 * @property {number} batch - what one action brought
 * @property {Outcome} [outcome]
 * @property {PageError} [error]
 * @property {HTMLElement} [row] - of the list
 */

/** @typedef {{key: string, values?: Values, again?: boolean}} Message */

/**
 * The elements of index.html of which more is used than every element has.
 *
 * @typedef {object} Special
 * @property {HTMLButtonElement} csv
 * @property {HTMLButtonElement} reset
 * @property {HTMLButtonElement} take
 * @property {HTMLButtonElement} undo
 * @property {HTMLDialogElement} camera-dialog
 * @property {HTMLImageElement} shown
 * @property {HTMLInputElement} files
 * @property {HTMLInputElement} filter
 * @property {HTMLInputElement} folder-files
 * @property {HTMLInputElement} model-file
 * @property {HTMLSelectElement} device
 * @property {HTMLSelectElement} version
 * @property {HTMLVideoElement} video
 */

const TOP = 5;

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
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/**
 * A class as people write it: homer_simpson is Homer Simpson.
 *
 * @param {string} name
 */
export function readable(name) {
  return name.replaceAll("_", " ").replace(/(^|\s)\p{Ll}/gu, (letter) => letter.toUpperCase());
}

/**
 * The classes of an outcome, most likely first: [index, probability] each.
 *
 * @param {Outcome} outcome
 */
export function ranked({ probabilities }) {
  return [...probabilities.entries()].sort((a, b) => b[1] - a[1]);
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
  for (const name of languages) {
    document
      .querySelector(`[data-language=${name}]`)
      ?.setAttribute("aria-pressed", String(name === language));
  }
}

/**
 * What went wrong, or what to know; `again` offers to load the model once more.
 *
 * @param {Message|null} message
 */
export function drawMessage(message) {
  $("message").hidden = !message;
  if (!message) return;
  const kind = message.key.startsWith("error.") ? "error" : "note";
  $("message").dataset.kind = kind;
  const text = /** @type {HTMLElement} */ ($("message").querySelector("p"));
  text.textContent = t(message.key, message.values);
  $("again").hidden = !message.again;
}

/**
 * In place of an answer: how far the model is loaded, or what it knows.
 *
 * @param {Progress|null} loading
 * @param {Model|null} model
 */
export function drawLoading(loading, model) {
  $("scores").hidden = true;
  $("who").classList.remove("unsure");
  $("loading").hidden = !loading;
  $("knows").hidden = Boolean(loading) || !model;
  if (loading) {
    $("who").textContent = t("load.start");
    drawDownload(loading);
  } else {
    $("who").textContent = t(model ? "answer.waiting" : "load.failed");
    $("sure").textContent = model ? t("load.ready", { n: model.classes.length }) : "";
  }
}

/** @param {Progress} progress */
function drawDownload({ loaded, total }) {
  const megabytes = (/** @type {number} */ bytes) => number(bytes / 1e6, 1);
  const values = { loaded: megabytes(loaded), total: megabytes(total) };
  if (total > 0) Object.assign($("download"), { max: total, value: loaded });
  else $("download").removeAttribute("value");
  $("sure").textContent = loaded ? t(total > 0 ? "load.bytes" : "load.bytesOnly", values) : "";
}

/**
 * @param {string} label
 * @param {number} share
 * @param {boolean} leading
 */
function bar(label, share, leading) {
  const fill = element("span", { className: "fill" });
  fill.style.setProperty("--share", String(share));
  return element(
    "li",
    { className: leading ? "leading" : "" },
    element("span", { className: "label", textContent: label }),
    element("span", { className: "value", textContent: percent(share) }),
    element("span", { className: "track", ariaHidden: "true" }, fill),
  );
}

/** @param {Model} model */
export function deviceName({ device, threads }) {
  return t(`device.${device}`, { n: threads });
}

/**
 * The answer to a picture, with the watched classes.
 *
 * @param {Entry} entry
 * @param {Model} model
 * @param {Set<string>} watched
 */
export function drawAnswer(entry, model, watched) {
  const { outcome, error, name } = entry;
  $("knows").hidden = $("loading").hidden = true;
  $("scores").hidden = !outcome;
  $("who").classList.toggle("unsure", Boolean(outcome && !isSure(outcome, model)));
  if (!outcome) {
    $("who").textContent = error ? t("answer.none") : t("answer.looking", { name });
    $("sure").textContent = error ? t(error.key, error.values) : "";
    $("spoken").textContent = error ? `${name}: ${t(error.key, error.values)}` : "";
    return;
  }
  const order = ranked(outcome);
  const [best, share] = order[0];
  const who = readable(model.classes[best]);
  const sure = isSure(outcome, model);
  $("who").textContent = sure ? who : t("answer.unsure");
  $("sure").textContent = sure
    ? t("answer.sure", { percent: percent(share) })
    : t("answer.below", { who, percent: percent(share), threshold: percent(model.threshold) });
  const spoken = { name, who, percent: percent(share) };
  $("spoken").textContent = t(sure ? "answer.spoken" : "answer.spokenUnsure", spoken);
  const bars = order.slice(0, TOP).map(([index, value], rank) =>
    bar(readable(model.classes[index]), value, rank === 0 && sure),
  );
  $("top").replaceChildren(...bars);
  const chosen = model.classes.filter((name) => watched.has(name));
  $("watched").hidden = !chosen.length;
  $("watched-bars").replaceChildren(
    ...chosen.map((name) =>
      bar(readable(name), outcome.probabilities[model.classes.indexOf(name)], false),
    ),
  );
  drawCost(outcome, model);
}

/**
 * @param {Outcome} outcome
 * @param {Model} model
 */
function drawCost({ milliseconds, original, size }, model) {
  const { decode, run } = milliseconds;
  const values = {
    time: duration(decode + run),
    device: deviceName(model),
    width: original[0],
    height: original[1],
    w: size[0],
    h: size[1],
  };
  const reduced = size[0] !== original[0];
  $("cost").textContent = t(reduced ? "answer.costReduced" : "answer.cost", values);
  $("cost").title = t("answer.costDetail", { decode: duration(decode), run: duration(run) });
}

/**
 * Whether the model commits itself.
 *
 * @param {Outcome} outcome
 * @param {Model} model
 */
export function isSure(outcome, model) {
  return ranked(outcome)[0][1] >= model.threshold;
}

/**
 * Shows the picture of an entry, or the invitation.
 *
 * @param {Entry|null} [entry]
 */
export function drawPicture(entry) {
  const shown = $("shown");
  URL.revokeObjectURL(shown.src);
  shown.hidden = !entry || Boolean(entry.error);
  $("invitation").hidden = !shown.hidden;
  shown.removeAttribute("src");
  shown.alt = entry?.name ?? "";
  if (entry && !entry.error) shown.src = URL.createObjectURL(entry.file);
}

/**
 * A row of the list.
 *
 * @param {Entry} entry
 * @param {Model} model
 * @param {(entry: Entry) => void} select
 */
export function row(entry, model, select) {
  const { outcome, error, name } = entry;
  const button = element("button", { type: "button", className: "pick", onclick: () => select(entry) });
  if (outcome?.thumbnail) {
    const picture = element("img", { alt: "", width: 44, height: 44 });
    picture.src = URL.createObjectURL(outcome.thumbnail);
    picture.onload = () => URL.revokeObjectURL(picture.src);
    button.append(picture);
  } else button.append(element("span", { className: "blank", ariaHidden: "true" }));
  button.append(element("span", { textContent: name }));
  const made = element("tr", {}, element("th", { scope: "row" }, button));
  if (error) {
    made.append(
      element("td", { colSpan: 2, className: "refused", textContent: t(error.key, error.values) }),
    );
  } else if (outcome) {
    const [best, share] = ranked(outcome)[0];
    const who = readable(model.classes[best]);
    const answer = isSure(outcome, model) ? who : t("list.unsure", { who });
    made.append(
      element("td", { textContent: answer }),
      element("td", { className: "n", textContent: percent(share) }),
    );
  }
  return made;
}

/**
 * How many of the pictures that were asked for are done.
 *
 * @param {number} done
 * @param {number} total
 */
export function drawQueue(done, total) {
  $("queue").hidden = done >= total;
  Object.assign($("queue-bar"), { max: Math.max(total, 1), value: done });
  $("queue-text").textContent = t("list.progress", { done, total });
}

/**
 * The model: facts, and the choices that led to it.
 *
 * @param {Model} model
 */
export function drawModel(model) {
  const { classes, name, served, megabytes, metrics, threshold, hashes } = model;
  const summary = { name, n: classes.length, device: deviceName(model) };
  $("model-summary").textContent = t("model.summary", summary);
  $("from-disk").hidden = served;
  $("from-disk").textContent = t("model.disk", { name });
  $("version").value = served ? name : "";
  const facts = [
    ["model.file", `${name}, ${t("model.size", { megabytes: number(megabytes, 1) })}`],
    ["model.threshold", threshold ? percent(threshold) : t("model.always")],
  ];
  if (metrics.test?.n) {
    const { accuracy, macro_f1: f1, n } = metrics.test;
    const values = { accuracy: number(accuracy, 3), f1: number(f1, 3), n };
    facts.push(["model.scores", t("model.accuracy", values)]);
  }
  for (const kind of /** @type {const} */ (["data", "params", "code"])) {
    if (hashes[kind]) facts.push([`model.${kind}`, hashes[kind]]);
  }
  $("known").replaceChildren(
    ...classes.map((name) => element("li", { textContent: readable(name) })),
  );
  $("facts").replaceChildren(
    ...facts.flatMap(([key, value]) => [
      element("dt", { textContent: t(key) }),
      element("dd", { textContent: value }),
    ]),
  );
}

/**
 * The classes to choose from, as check boxes.
 *
 * @param {Model} model
 * @param {Set<string>} watched
 * @param {string} filter
 * @param {(name: string, on: boolean) => void} onchange
 */
export function drawClasses(model, watched, filter, onchange) {
  const wanted = filter.trim().toLowerCase();
  const boxes = model.classes
    .filter((name) => readable(name).toLowerCase().includes(wanted))
    .map((name) => {
      const box = element("input", { type: "checkbox", checked: watched.has(name) });
      box.onchange = () => onchange(name, box.checked);
      return element("label", {}, box, element("span", { textContent: readable(name) }));
    });
  $("classes").replaceChildren(...boxes);
}

/** @param {Set<string>} watched */
export function drawWatchCount(watched) {
  $("watch-count").textContent = watched.size ? t("watch.count", { n: watched.size }) : "";
}
