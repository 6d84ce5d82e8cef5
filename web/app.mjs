/** The page: what a person does with it, and the pictures that wait for an answer. */

import { takePicture } from "./camera.mjs";
import { Classifier } from "./classifier.mjs";
import { toCsv } from "./csv.mjs";
import { PageError } from "./errors.mjs";
import { filesOf, isPicture } from "./files.mjs";
import { setLanguage, t } from "./i18n.mjs";
import * as view from "./view.mjs";

/** @import { Entry, Message } from "./view.mjs" */
/** @import { Language } from "./i18n.mjs" */
/** @import { Model, Options, Outcome, Progress, Values } from "./types.ts" */

const { $ } = view;
const BROKEN = ["error.memory", "error.unexpected", "error.workerFailed"];
/** After these the worker starts anew, for the next picture. */

/** @type {Classifier|null} */
let classifier = null;
/** @type {Classifier|null} */
let coming = null; // the classifier that is loading
/** @type {Model|null} */
let model = null; // what the worker says of the loaded one
/** @type {Options} */
let wanted = { device: "auto" }; // what was loaded: device, and name or file
let tried = wanted; // what to try again
/** @type {Progress|null} */
let loading = null; // bytes of the download
/** @type {Message|null} */
let message = null;
/** @type {Entry[]} */
let entries = [];
/** @type {Entry|null|undefined} */
let current = null; // the entry that is shown
let follow = true; // show each picture as its answer comes
let batches = 0;
let queued = 0; // pictures asked for since the list was last done
let working = false;
/** @type {Set<string>} */
let watched = new Set();
/** @type {File[]} */
let folder = []; // pictures that Random draws from
/** @type {string[]|null} */
let samples = null;
/** @type {unknown} */
let drawnLast = null;
let shots = 0;
let cameraOpen = false;

/**
 * @param {unknown} error
 * @param {boolean} again - offer to load the model once more
 */
function tell(error, again = false) {
  const { key, values } = PageError.from(error);
  message = { key, values, again };
  view.drawMessage(message);
}

/**
 * @param {string} key
 * @param {Values} [values]
 */
function note(key, values) {
  message = { key, values };
  view.drawMessage(message);
}

function clearMessage() {
  message = null;
  view.drawMessage(null);
}

/**
 * Loads a model; the one before stays until the new one answered.
 *
 * @param {Options} options
 */
async function load(options) {
  clearMessage();
  tried = options;
  loading = { loaded: 0, total: NaN };
  draw();
  coming?.close();
  const next = new Classifier((progress) => {
    loading = progress;
    view.drawLoading(loading, model);
  });
  coming = next;
  let loaded;
  try {
    loaded = await next.load(options);
  } catch (error) {
    next.close();
    if (coming !== next) return; // another one was chosen meanwhile
    loading = coming = null;
    tell(error, !options.file);
    draw();
    return;
  }
  classifier?.close();
  [classifier, model, wanted] = [next, loaded, options];
  loading = coming = null;
  watched = new Set(model.classes.filter((name) => watched.has(name)));
  if (model.gpuFailed) note("note.gpuFailed");
  else if (!model.kept) note(isSecureContext ? "note.storage" : "note.insecure");
  else if (entries.some(({ outcome }) => outcome)) note("note.modelChanged", { name: model.name });
  for (const entry of entries) {
    delete entry.outcome;
    delete entry.error;
  }
  queued = entries.length;
  draw();
  work();
}

/**
 * Takes pictures (or a model) that a person chose.
 *
 * @param {File[]} files
 */
function take(files) {
  const file = files.find(({ name }) => name?.toLowerCase().endsWith(".onnx"));
  if (file) return load({ device: wanted.device, file });
  if (!files.length) return tell(new PageError("error.noFiles"));
  if (model) clearMessage();
  batches += 1;
  entries.push(...files.map((file) => ({ file, name: file.name, batch: batches })));
  queued += files.length;
  follow = true;
  if (!working) select(entries.find(isWaiting));
  work();
}

const isWaiting = (/** @type {Entry} */ { outcome, error }) => !outcome && !error;

/** Answers picture after picture until none waits. */
async function work() {
  if (working || !classifier) return;
  working = true;
  for (let entry; (entry = entries.find(isWaiting)); ) {
    const used = /** @type {Classifier} */ (classifier);
    drawList();
    if (follow) select(entry);
    const found = await ask(used, entry);
    if (used !== classifier || !entries.includes(entry)) continue; // another model, or undone
    Object.assign(entry, found);
    addRow(entry);
    if (entry === current) select(entry);
    if (entry.error && BROKEN.includes(entry.error.key)) await restart();
  }
  working = false;
  queued = 0;
  drawList();
}

/**
 * @param {Classifier} used
 * @param {Entry} entry
 * @returns {Promise<Pick<Entry, "outcome" | "error">>}
 */
async function ask(used, { file }) {
  try {
    return { outcome: await used.classify(file) };
  } catch (error) {
    return { error: PageError.from(error) };
  }
}

/** The same model in a fresh worker. */
async function restart() {
  classifier?.close();
  const fresh = new Classifier(() => {});
  classifier = fresh;
  try {
    await fresh.load(wanted);
  } catch (error) {
    if (classifier !== fresh) return;
    tell(error, true);
    entries = entries.filter((entry) => !isWaiting(entry));
  }
}

/** @param {Entry|null|undefined} entry */
function select(entry) {
  if (entry !== current || entry?.error) view.drawPicture(entry);
  current = entry;
  if (entry && model && !loading) view.drawAnswer(entry, model, watched);
  else view.drawLoading(loading, model);
  markRow();
}

/**
 * A row was clicked: stay with that picture.
 *
 * @param {Entry} entry
 */
function choose(entry) {
  follow = false;
  select(entry);
  $("drop").scrollIntoView({ block: "nearest" });
}

function finished() {
  return entries.filter((entry) => !isWaiting(entry));
}

/** @param {Entry} entry */
function addRow(entry) {
  entry.row = view.row(entry, /** @type {Model} */ (model), choose);
  $("rows").append(entry.row);
}

function markRow() {
  $("rows").querySelector("[aria-current]")?.removeAttribute("aria-current");
  current?.row?.setAttribute("aria-current", "true");
}

function drawList() {
  const waiting = entries.filter(isWaiting).length;
  $("list").hidden = entries.length < 2 && !waiting;
  view.drawQueue(Math.max(0, queued - waiting), queued);
  $("undo").disabled = $("reset").disabled = !entries.length;
  $("csv").disabled = waiting === entries.length;
  const focused = /** @type {Partial<HTMLButtonElement>|null} */ (document.activeElement);
  if (focused?.disabled) $("choose").focus(); // the keyboard goes on from there
}

function drawRows() {
  $("rows").replaceChildren();
  finished().forEach(addRow);
  markRow();
}

/** Everything, as after a change of language or model. */
function draw() {
  view.drawTexts();
  view.drawMessage(message);
  if (model) {
    view.drawModel(model);
    $("device").value = wanted.device;
    drawClasses();
    $("watch").hidden = false;
    drawRows();
  }
  drawList();
  select(current);
}

function drawClasses() {
  const known = /** @type {Model} */ (model);
  view.drawWatchCount(watched);
  view.drawClasses(known, watched, $("filter").value, (name, on) => {
    if (on) watched.add(name);
    else watched.delete(name);
    view.drawWatchCount(watched);
    if (current) view.drawAnswer(current, known, watched);
  });
}

/**
 * Drops the entries of the last action, or those that still wait.
 *
 * @param {(entry: Entry) => boolean} gone
 */
function drop(gone) {
  entries = entries.filter((entry) => !gone(entry));
  queued = entries.filter(isWaiting).length;
  drawRows();
  drawList();
  if (!current || !entries.includes(current)) select(entries.at(-1) ?? null);
}

async function randomPicture() {
  try {
    if (folder.length) return take([another(folder)]);
    samples ??= await listSamples();
    const name = another(samples);
    const response = await fetch(name);
    take([new File([await response.blob()], name.replace("samples/", ""), { type: "image/png" })]);
  } catch (error) {
    tell(error instanceof TypeError ? new PageError("error.serverGone", { path: "samples" }) : error);
  }
}

async function listSamples() {
  const { files } = await (await fetch("site.json")).json();
  return Object.keys(files).filter((name) => name.startsWith("samples/"));
}

/**
 * One of several, and not the last one again.
 *
 * @template T
 * @param {T[]} several
 */
function another(several) {
  const others = several.filter((one) => one !== drawnLast);
  const from = others.length ? others : several;
  const drawn = from[Math.floor(Math.random() * from.length)];
  drawnLast = drawn;
  return drawn;
}

function saveCsv() {
  const known = /** @type {Model} */ (model);
  const done = finished();
  const head = ["picture", "answer", "confidence", "sure", "error", "milliseconds"];
  const rows = done.map((entry) => {
    if (entry.error) return [entry.name, "", "", "", t(entry.error.key, entry.error.values)];
    const outcome = /** @type {Outcome} */ (entry.outcome);
    const { decode, run } = outcome.milliseconds;
    const [best, share] = view.ranked(outcome)[0];
    const scores = [...outcome.probabilities].map((value) => value.toFixed(6));
    const sure = view.isSure(outcome, known) ? "yes" : "no";
    const time = (decode + run).toFixed(1);
    return [entry.name, known.classes[best], share.toFixed(6), sure, "", time, ...scores];
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([toCsv([[...head, ...known.classes], ...rows])], { type: "text/csv" }));
  link.download = "springfield.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function useCamera() {
  if (cameraOpen) return; // a second click while the permission is asked
  cameraOpen = true;
  try {
    const blob = await takePicture();
    if (!blob) return;
    shots += 1;
    take([new File([blob], t("camera.name", { n: shots }), { type: blob.type })]);
  } catch (error) {
    tell(error);
  } finally {
    cameraOpen = false;
  }
}

function listen() {
  /**
   * @param {HTMLInputElement} input - of files
   * @param {(files: File[]) => void} use
   */
  const chosen = (input, use) => () => {
    const files = [...(input.files ?? [])];
    input.value = ""; // the same file can be chosen again
    if (files.length) use(files);
  };
  $("choose").onclick = () => $("files").click();
  $("files").onchange = chosen($("files"), take);
  $("camera").onclick = useCamera;
  $("random").onclick = randomPicture;
  $("folder").onclick = () => $("folder-files").click();
  $("folder-files").onchange = chosen($("folder-files"), (files) => {
    const pictures = files.filter(isPicture);
    if (!pictures.length) return tell(new PageError("error.noPicturesInFolder"));
    folder = pictures;
    randomPicture();
  });
  $("undo").onclick = () => {
    const last = entries.at(-1)?.batch;
    drop(({ batch }) => batch === last);
  };
  $("reset").onclick = () => {
    watched.clear();
    folder = [];
    clearMessage();
    drop(() => true);
    if (model) drawClasses();
  };
  $("stop").onclick = () => drop(isWaiting);
  $("csv").onclick = saveCsv;
  $("open").onclick = () => $("model-file").click();
  $("model-file").onchange = chosen($("model-file"), ([file]) => load({ device: wanted.device, file }));
  $("version").onchange = () => load({ device: wanted.device, name: $("version").value });
  $("device").onchange = () => {
    const device = /** @type {Options["device"]} */ ($("device").value);
    load({ device, file: wanted.file });
  };
  $("again").onclick = () => load(tried);
  $("dismiss").onclick = () => {
    clearMessage();
    $("choose").focus();
  };
  $("filter").oninput = drawClasses;
  $("watch-none").onclick = () => {
    watched.clear();
    drawClasses();
    if (current && model) view.drawAnswer(current, model, watched);
  };
  for (const button of view.marked("language")) {
    button.onclick = () => {
      setLanguage(/** @type {Language} */ (button.dataset.language));
      draw();
    };
  }
  document.addEventListener("paste", async ({ clipboardData, target }) => {
    if (!clipboardData) return;
    if (clipboardData.files.length || target !== $("filter")) take(await filesOf(clipboardData));
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) $("drop").classList.remove("over");
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    if (event.dataTransfer) take(await filesOf(event.dataTransfer));
  });
}

async function start() {
  draw();
  listen();
  if (typeof WebAssembly !== "object") return tell(new PageError("error.noWebAssembly"));
  await load(wanted);
  await navigator.serviceWorker?.register("sw.js").catch(() => {}); // storage off: no offline use
}

start();
