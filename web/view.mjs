/** Draws the page's state; changes nothing but the document. */

import { deviceName, drawAnswer, spoken } from "./answer.mjs";
import { $, drawTexts, element } from "./document.mjs";
import { language, number, percent, t } from "./i18n.mjs";
import { drawRows, rowOf } from "./list.mjs";
import { answerTo, meant, readable, usableSamples } from "./state.mjs";

/** @import { Entry, Message, Model, Progress, Shift, State } from "./types.ts" */

const SAMPLES = 8;
/** Pictures to click. */

/** @type {Map<Function, unknown[]>} what each part was drawn from last */
const drawn = new Map();

/**
 * Draws a part of the page, if what it is drawn from has changed.
 *
 * @template {unknown[]} A
 * @param {(...from: A) => void} draw
 * @param {A} from
 */
function part(draw, ...from) {
  const now = [language, ...from];
  if (drawn.get(draw)?.every((value, index) => value === now[index])) return;
  drawn.set(draw, now);
  draw(...from);
}

/**
 * The whole page.
 *
 * @param {State} state
 */
export function render(state) {
  const { answers, asked, current, entries, loading, model, watched } = state;
  const answer = answerTo(state, current);
  part(drawTexts);
  part(drawMessage, state.message);
  part(drawPicture, current, answer?.error ? null : (answer?.outcome?.moved ?? current?.file ?? null));
  part(drawShift, state.shift, Boolean(current && !answer?.error), state.step);
  part(drawSamples, usableSamples(state).join("\n"), state.folder.length > 0);
  if (model) {
    part(drawModel, model);
    part(drawWanted, model, state.wanted, loading !== null);
    part(drawClasses, model, watched, state.filter);
    part(drawWatched, watched, state.among);
  }
  part(drawRows, entries, answers, model);
  part(drawCurrent, current && rowOf(current));
  part(drawQueue, asked.filter((entry) => answers.has(entry)).length, asked.length);
  part(drawList, entries, answers, asked.length > 0);
  part(drawUndo, state.past.length > 0);
  if (current && model && !loading) part(drawAnswer, current, answer, model, watched, state.among);
  else {
    drawn.delete(drawAnswer);
    drawWaiting(loading, model);
  }
  part(drawSpoken, spoken(state));
  const focused = /** @type {Partial<HTMLButtonElement>|null} */ (document.activeElement);
  if (focused?.disabled) $("choose").focus(); // the keyboard goes on from there
}

/**
 * What went wrong, or what to know.
 *
 * @param {Message|null} message
 */
function drawMessage(message) {
  $("message").hidden = !message;
  if (!message) return;
  const kind = message.key.startsWith("error.") ? "error" : "note";
  $("message").dataset.kind = kind;
  const text = /** @type {HTMLElement} */ ($("message").querySelector("p"));
  const told = t(message.key, message.values);
  const { file } = message.values ?? {};
  text.textContent = file ? t("answer.error", { name: file, text: told }) : told;
  $("again").hidden = !message.again;
}

/**
 * The picture, or the invitation.
 *
 * @param {Entry|null} entry
 * @param {Blob|null} blob - what to show of it
 */
function drawPicture(entry, blob) {
  const shown = $("shown");
  URL.revokeObjectURL(shown.src);
  shown.hidden = !blob;
  $("invitation").hidden = !shown.hidden;
  shown.removeAttribute("src");
  shown.alt = entry?.name ?? "";
  if (blob) shown.src = URL.createObjectURL(blob);
  $("shown-name").textContent = entry?.name ?? "";
}

/**
 * @param {Shift|null} shift
 * @param {boolean} possible
 * @param {number} step
 */
function drawShift(shift, possible, step) {
  $("shift").hidden = !possible;
  $("shift-reset").disabled = !shift;
  $("step").value = String(step);
  const { x, y } = shift ?? { x: 0, y: 0 };
  $("shifted").textContent = shift ? t("shift.by", { x: percent(x), y: percent(y) }) : "";
}

/**
 * @param {string} paths - of pictures that are served, one a line
 * @param {boolean} folder - one was chosen
 */
function drawSamples(paths, folder) {
  $("random").hidden = !paths && !folder;
  $("samples").hidden = !paths;
  const shown = paths ? paths.split("\n").slice(0, SAMPLES) : [];
  $("samples").replaceChildren(
    ...shown.map((path, index) => {
      const picture = element("img", { src: encodeURI(path), alt: "", width: 56, height: 56 });
      const button = element("button", { type: "button", value: path }, picture);
      button.setAttribute("aria-label", t("sample", { n: index + 1 }));
      return element("li", {}, button);
    }),
  );
}

/**
 * In place of an answer: how far the model is loaded, or what it knows.
 *
 * @param {Progress|null} loading
 * @param {Model|null} model
 */
function drawWaiting(loading, model) {
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

/** @param {string} sentence */
function drawSpoken(sentence) {
  $("spoken").textContent = sentence;
}

/**
 * Marks the row of the shown picture and brings it into view, without moving the page.
 *
 * @param {HTMLElement|null|undefined} row
 */
function drawCurrent(row) {
  const marked = $("rows").querySelector("[aria-current]");
  if (marked === row) return;
  marked?.removeAttribute("aria-current");
  if (!row) return;
  row.setAttribute("aria-current", "true");
  const scroll = /** @type {HTMLElement} */ (row.closest(".scroll"));
  const head = /** @type {HTMLElement} */ (scroll.querySelector("thead")).offsetHeight;
  const [box, place] = [scroll.getBoundingClientRect(), row.getBoundingClientRect()];
  if (place.top < box.top + head) scroll.scrollTop += place.top - box.top - head;
  else if (place.bottom > box.bottom) scroll.scrollTop += place.bottom - box.bottom;
}

/**
 * How many of the pictures that were asked for are done.
 *
 * @param {number} done
 * @param {number} total
 */
function drawQueue(done, total) {
  $("queue").hidden = done >= total;
  Object.assign($("queue-bar"), { max: Math.max(total, 1), value: done });
  $("queue-text").textContent = t("list.progress", { done, total });
}

/**
 * @param {Entry[]} entries
 * @param {State["answers"]} answers
 * @param {boolean} working
 */
function drawList(entries, answers, working) {
  $("list").hidden = entries.length < 2 && !working;
  $("csv").disabled = !entries.some((entry) => answers.has(entry));
}

/** @param {boolean} possible */
function drawUndo(possible) {
  $("undo").disabled = !possible;
}

/**
 * The model: its facts.
 *
 * @param {Model} model
 */
function drawModel(model) {
  const { classes, name, megabytes, metrics, threshold, hashes } = model;
  const summary = { name, n: classes.length, device: deviceName(model) };
  $("model-summary").textContent = t("model.summary", summary);
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
 * The choices that led to the model, also after others that failed.
 *
 * @param {Model} model
 * @param {State["wanted"]} wanted
 * @param {boolean} loading - another one
 */
function drawWanted({ name, served }, { device }, loading) {
  if (loading) return;
  $("from-disk").hidden = served;
  $("from-disk").textContent = t("model.disk", { name });
  $("version").value = served ? name : "";
  $("device").value = device;
  $("watch").hidden = false;
}

/**
 * The classes to choose from, as check boxes.
 *
 * @param {Model} model
 * @param {string[]} watched
 * @param {string} filter - words, by commas
 */
function drawClasses({ classes }, watched, filter) {
  const words = filter.split(",").filter((word) => word.trim());
  const shown = words.length
    ? [...new Set(words.flatMap((word) => meant(classes, word)))]
    : [...classes.keys()];
  const focused = document.activeElement?.closest("#classes input");
  const boxes = shown.map((index) => {
    const [value, checked] = [classes[index], watched.includes(classes[index])];
    const box = element("input", { type: "checkbox", value, checked });
    const number = element("span", { className: "number", textContent: String(index) });
    return element("label", {}, box, number, element("span", { textContent: readable(value) }));
  });
  $("classes").replaceChildren(...boxes);
  if (!focused) return;
  const { value } = /** @type {HTMLInputElement} */ (focused);
  boxes.find(({ control }) => /** @type {HTMLInputElement} */ (control).value === value)?.control?.focus();
}

/**
 * @param {string[]} watched
 * @param {boolean} among
 */
function drawWatched(watched, among) {
  $("watch-count").textContent = watched.length ? t("watch.count", { n: watched.length }) : "";
  $("watch-none").disabled = !watched.length;
  $("among").checked = among;
}
