/** Draws the page's state; changes nothing but the document. */

import { drawAnswer, spoken } from "./answer.mjs";
import { $, drawTexts, element } from "./document.mjs";
import { number, percent, sentences, t } from "./i18n.mjs";
import { drawClasses, drawModel, drawWanted, drawWatched, known } from "./facts.mjs";
import { drawRows, rowOf } from "./list.mjs";
import { answerTo, usableSamples } from "./state.mjs";

/** @import { Entry, Message, Model, Parts, Progress, Shift, State } from "./types.ts" */

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
  const now = [sentences, ...from];
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
  if (!Object.keys(sentences).length) return; // they are coming
  const { answers, asked, current, entries, loading, model, parts, watched } = state;
  const { pictures } = parts;
  const answer = answerTo(state, current);
  part(drawTexts);
  part(drawMessage, state.message);
  part(drawTask, parts);
  const blob = pictures && !answer?.error ? (answer?.outcome?.moved ?? current?.file ?? null) : null;
  part(drawPicture, current, blob);
  part(drawPlace, blob !== null, Boolean(answer?.outcome));
  part(drawShift, state.shift, Boolean(current && pictures && !answer?.error), state.step);
  part(drawSamples, usableSamples(state).join("\n"), pictures && state.folder.length > 0);
  if (model) {
    part(drawModel, model);
    part(drawWanted, model, state.wanted, loading !== null);
    part(drawClasses, model, watched, state.filter);
    part(drawWatched, watched, state.among);
  }
  part(drawRows, entries, answers, model, parts);
  part(drawCurrent, current && rowOf(current));
  part(drawQueue, asked.filter((entry) => answers.has(entry)).length, asked.length);
  part(drawList, entries, answers, asked.length > 0, pictures);
  part(drawUndo, state.past.length > 0 || (state.coming !== null && state.undoable));
  if (current && model && !loading) part(drawAnswer, current, answer, model, parts, watched, state.among);
  else {
    drawn.delete(drawAnswer);
    drawWaiting(loading, model);
  }
  part(drawSpoken, spoken(state));
  const focused = /** @type {HTMLButtonElement|null} */ (document.activeElement);
  if (focused?.disabled || focused?.closest("[hidden]")) $("choose").focus(); // the keyboard goes on there
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
 * What can be chosen; what another task drew goes.
 *
 * @param {Parts} parts
 */
function drawTask({ pictures }) {
  $("files").accept = pictures ? "image/*" : ".csv,.tsv,.txt";
  $("camera").hidden = $("folder").hidden = !pictures;
  $("over").replaceChildren();
  $("found").replaceChildren();
}

/**
 * @param {Entry|null} entry
 * @param {Blob|null} blob - what to show of it
 */
function drawPicture(entry, blob) {
  const shown = $("shown");
  URL.revokeObjectURL(shown.src);
  shown.hidden = !blob;
  shown.removeAttribute("src");
  shown.alt = entry?.name ?? "";
  if (blob) shown.src = URL.createObjectURL(blob);
  $("shown-name").textContent = entry?.name ?? "";
}

/**
 * What is drawn over the picture, or in its place; or the invitation.
 *
 * @param {boolean} picture
 * @param {boolean} answer
 */
function drawPlace(picture, answer) {
  $("over").hidden = !answer;
  $("invitation").hidden = picture || answer;
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
  $("scores").hidden = $("found").hidden = $("cost").hidden = true;
  $("who").classList.remove("unsure");
  $("loading").hidden = !loading;
  $("knows").hidden = Boolean(loading) || !model?.classes.length;
  if (loading) {
    $("who").textContent = t("load.start");
    drawDownload(loading);
  } else {
    $("who").textContent = t(model ? "answer.waiting" : "load.failed");
    $("sure").textContent = model ? t("load.ready", known(model)) : "";
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
 * @param {boolean} pictures - or series, one of which makes a table, too
 */
function drawList(entries, answers, working, pictures) {
  $("list").hidden = entries.length < (pictures ? 2 : 1) && !working;
  $("csv").disabled = !entries.some((entry) => answers.has(entry));
}

/** @param {boolean} possible */
function drawUndo(possible) {
  $("undo").disabled = !possible;
}
