/** The page: what a person does with it, and the pictures that wait for an answer. */

import { takePicture } from "./camera.mjs";
import { Classifier } from "./classifier.mjs";
import { toCsv } from "./csv.mjs";
import { $, marked } from "./document.mjs";
import { PageError } from "./errors.mjs";
import { filesOf, isPicture } from "./files.mjs";
import { askForm } from "./form.mjs";
import { language, setLanguage, t, useLanguage } from "./i18n.mjs";
import { entryAt } from "./list.mjs";
import * as states from "./state.mjs";
import { render } from "./view.mjs";

/** @import { Answer, Done, Entry, Language, Model, Options, Shift, State } from "./types.ts" */

const BROKEN = ["error.memory", "error.unexpected", "error.workerFailed"];
/** After these the worker starts anew, for the next picture. */
const SOME = 10;
/** Labels to watch at random. */
const FARTHEST = 0.9;
/** Shift, in parts of the picture. */
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const state = states.start();

/** @param {Partial<State>} changes */
function set(changes) {
  Object.assign(state, changes);
  render(state);
}

/**
 * What a person did, so that Undo can take it back.
 *
 * @param {Partial<State>} changes
 */
function act(changes) {
  set({ past: [...state.past, states.done(state)], ...changes });
}

function undo() {
  const before = state.past.at(-1);
  if (before) goBack(before, state.past.slice(0, -1));
}

function reset() {
  goBack(states.nothingDone(), []);
  set({ filter: "", step: states.start().step, told: [] });
  $("filter").value = "";
}

/**
 * @param {Done} before
 * @param {Done[]} past
 */
function goBack({ wanted, ...before }, past) {
  const asked = state.asked.filter((entry) => before.entries.includes(entry));
  set({ ...before, past, asked, moved: null, message: null, follow: false });
  if (isOther(wanted)) load(wanted, false);
  else set({ wanted });
  work();
  lookMoved();
}

/**
 * Whether these options load another model than what is loaded, or loading.
 *
 * @param {Options} options
 */
function isOther({ device, name, file, form }) {
  const now = state.coming ? state.tried : state.wanted;
  return now.device !== device || now.name !== name || now.file !== file || now.form !== form;
}

/**
 * @param {unknown} error
 * @param {{again?: boolean, file?: string}} more - offer to load the model once more; about a file
 */
function tell(error, { again = false, file } = {}) {
  const { key, values } = PageError.from(error);
  set({ message: { key, values: file ? { ...values, file } : values, again } });
}

/**
 * Loads a model; the one before stays until the new one answered.
 *
 * @param {Options} options
 * @param {boolean} undoable
 */
async function load(options, undoable = state.model !== null) {
  state.coming?.close();
  const next = new Classifier((loading) => {
    if (state.coming === next) set({ loading });
  });
  set({ message: null, tried: options, loading: { loaded: 0, total: NaN }, coming: next });
  let model;
  try {
    model = await next.load(options);
    if ("asks" in model) {
      const form = await askForm(model, options.file?.name ?? "");
      if (form) options = { ...options, form };
      model = form && (await next.load(options));
    }
  } catch (error) {
    next.close();
    if (state.coming !== next) return; // another one was chosen meanwhile
    set({ loading: null, coming: null });
    tell(error, { again: !options.file, file: options.file?.name });
    return;
  }
  if (model && !("asks" in model)) use(next, model, options, undoable);
  else {
    next.close(); // nothing was said of the file
    if (state.coming === next) set({ loading: null, coming: null });
  }
}

/**
 * @param {Classifier} next
 * @param {Model} model
 * @param {Options} wanted
 * @param {boolean} undoable
 */
function use(next, model, wanted, undoable) {
  state.classifier?.close();
  const { entries, watched } = state;
  const changes = {
    classifier: next,
    coming: null,
    loading: null,
    message: noteOn(model),
    model,
    wanted,
    answers: new Map(),
    moved: null,
    asked: entries,
    watched: watched.filter((name) => model.classes.includes(name)),
  };
  if (undoable) act(changes);
  else set(changes);
  work();
  lookMoved();
}

/** @param {Model} model */
function noteOn({ gpuFailed, kept, name }) {
  if (gpuFailed) return { key: "note.gpuFailed" };
  if (!kept) return { key: isSecureContext ? "note.storage" : "note.insecure" };
  return state.answers.size ? { key: "note.modelChanged", values: { name } } : null;
}

/**
 * Takes pictures (or a model) that a person chose.
 *
 * @param {File[]} files
 * @param {Partial<State>} more - that changes with it
 */
function take(files, more = {}) {
  const file = files.find(({ name }) => name?.toLowerCase().endsWith(".onnx"));
  if (file) return load({ device: state.wanted.device, file });
  if (!files.length) return tell(new PageError("error.noFiles"));
  const added = files.map((file) => ({ file, name: file.name }));
  const shown = state.asked.length ? {} : { current: added[0], shift: null, moved: null };
  act({
    ...more,
    ...shown,
    message: state.model ? null : state.message,
    entries: [...state.entries, ...added],
    asked: [...state.asked, ...added],
    told: [],
    follow: true,
  });
  work();
}

let working = false;

/** Answers picture after picture until none waits. */
async function work() {
  if (working) return;
  working = true;
  for (let entry; state.classifier && (entry = states.waiting(state)); ) {
    const used = state.classifier;
    const answer = await look(used, entry);
    if (used !== state.classifier || !state.entries.includes(entry)) continue; // another model, or undone
    const answers = new Map(state.answers).set(entry, answer);
    set(state.follow ? { answers, current: entry, shift: null, moved: null } : { answers });
    if (answer.error && BROKEN.includes(answer.error.key)) await restart();
  }
  working = false;
  if (state.classifier) set({ asked: [], told: state.asked.length ? state.asked : state.told });
}

/**
 * @param {Classifier} used
 * @param {Entry} entry
 * @param {Shift|null} [shift]
 * @returns {Promise<Answer>}
 */
async function look(used, { file }, shift) {
  try {
    return { outcome: await used.classify(file, shift) };
  } catch (error) {
    return { error: PageError.from(error) };
  }
}

/** The same model in a fresh worker. */
async function restart() {
  state.classifier?.close();
  const fresh = new Classifier(() => {});
  set({ classifier: fresh });
  try {
    await fresh.load(state.wanted);
  } catch (error) {
    if (state.classifier !== fresh) return;
    tell(error, { again: true });
    dropWaiting();
  }
}

function dropWaiting() {
  const entries = state.entries.filter((entry) => state.answers.has(entry));
  const current = state.current && entries.includes(state.current) ? state.current : entries.at(-1);
  const asked = state.asked.filter((entry) => entries.includes(entry));
  act({ entries, asked, current: current ?? null });
}

let looking = false;

/** Answers the shown picture where it was moved to; the newest place, if there were several. */
async function lookMoved() {
  if (looking) return;
  looking = true;
  while (state.classifier && state.current && state.shift && state.moved?.shift !== state.shift) {
    const { classifier, current, shift } = state;
    const answer = await look(classifier, current, shift);
    if (classifier !== state.classifier || current !== state.current || !state.shift) continue;
    set({ moved: { shift, answer }, told: [current] });
  }
  looking = false;
}

/**
 * @param {number} right - steps
 * @param {number} down
 */
function move(right, down) {
  const { x, y } = state.shift ?? { x: 0, y: 0 };
  const bounded = (/** @type {number} */ part) => Math.max(-FARTHEST, Math.min(FARTHEST, part));
  const part = state.step / 100;
  act({ shift: { x: bounded(x + right * part), y: bounded(y + down * part) }, follow: false });
  lookMoved();
}

/**
 * A row was clicked: stay with that picture.
 *
 * @param {Entry} entry
 */
function choose(entry) {
  set({ current: entry, shift: null, moved: null, follow: false, told: [entry] });
  $("drop").scrollIntoView({ block: "nearest" });
}

/** @param {string[]} names */
function watch(names) {
  act({ watched: names });
}

/** Watches what the search names: by number, or by the only name that fits. */
function watchNamed() {
  const { classes } = /** @type {Model} */ (state.model);
  const words = state.filter.split(",").filter((word) => word.trim());
  const found = words.map((word) => ({ word: word.trim(), classes: states.meant(classes, word) }));
  const unclear = found.find((one) => one.classes.length !== 1);
  if (unclear) {
    const key = unclear.classes.length ? "error.manyClasses" : "error.noClass";
    return tell(new PageError(key, { word: unclear.word, last: classes.length - 1 }));
  }
  const names = found.map((one) => classes[one.classes[0]]);
  watch([...new Set([...state.watched, ...names])]);
  $("filter").value = "";
  set({ filter: "", message: null });
}

/** @type {unknown} */
let drawnLast = null;

function randomPicture() {
  if (state.folder.length) return take([another(state.folder)]);
  return takeSample(another(states.usableSamples(state)));
}

/** @param {string} path */
async function takeSample(path) {
  try {
    const response = await fetch(encodeURI(path));
    if (!response.ok) throw new TypeError(path);
    const blob = await response.blob();
    const name = path.replace("samples/", `${state.samples[path]}_`);
    take([new File([blob], name, { type: blob.type })]);
  } catch (error) {
    tell(error instanceof TypeError ? new PageError("error.serverGone", { path }) : error);
  }
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

/**
 * Some of several, each once.
 *
 * @template T
 * @param {T[]} several
 */
function some(several) {
  const left = [...several];
  const count = Math.min(SOME, left.length);
  return Array.from({ length: count }, () => left.splice(Math.floor(Math.random() * left.length), 1)[0]);
}

function saveCsv() {
  const model = /** @type {Model} */ (state.model);
  const head = ["picture", "answer", "confidence", "sure", "error", "milliseconds"];
  const rows = state.entries.flatMap((entry) => {
    const answer = state.answers.get(entry);
    return answer ? [csvRow(entry, answer, model)] : [];
  });
  const link = document.createElement("a");
  const text = toCsv([[...head, ...model.classes], ...rows]);
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "springfield.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * @param {Entry} entry
 * @param {Answer} answer
 * @param {Model} model
 */
function csvRow({ name }, { outcome, error }, model) {
  if (!outcome) return [name, "", "", "", error && t(error.key, error.values)];
  const { decode, run } = outcome.milliseconds;
  const [best, share] = states.ranked(outcome)[0];
  const scores = [...outcome.probabilities].map((value) => value.toFixed(6));
  const sure = states.isSure(outcome, model) ? "yes" : "no";
  return [name, model.classes[best], share.toFixed(6), sure, "", (decode + run).toFixed(1), ...scores];
}

let cameraOpen = false;
let shots = 0;

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

/** @param {Language} name */
async function speak(name) {
  try {
    await setLanguage(name);
    set({ language });
  } catch {
    tell(new PageError("error.serverGone", { path: `${name}.mjs` }));
  }
}

/**
 * @param {HTMLInputElement} input - of files
 * @param {(files: File[]) => void} use
 */
function chosen(input, use) {
  input.onchange = () => {
    const files = [...(input.files ?? [])];
    input.value = ""; // the same file can be chosen again
    if (files.length) use(files);
  };
}

function listenToPictures() {
  $("choose").onclick = () => $("files").click();
  chosen($("files"), take);
  $("camera").onclick = useCamera;
  $("random").onclick = randomPicture;
  $("samples").onclick = ({ target }) => {
    const button = /** @type {HTMLElement} */ (target).closest("button");
    if (button) takeSample(button.value);
  };
  $("folder").onclick = () => $("folder-files").click();
  chosen($("folder-files"), (files) => {
    const folder = files.filter(isPicture);
    if (!folder.length) return tell(new PageError("error.noPicturesInFolder"));
    take([another(folder)], { folder });
  });
  $("undo").onclick = undo;
  $("reset").onclick = reset;
  $("stop").onclick = dropWaiting;
  $("csv").onclick = saveCsv;
  $("rows").onclick = ({ target }) => {
    const entry = entryAt(target);
    if (entry) choose(entry);
  };
}

function listenToShifts() {
  for (const button of marked("arrow")) {
    button.onclick = () => move(...ARROWS[/** @type {string} */ (button.dataset.arrow)]);
  }
  $("shift-reset").onclick = () => act({ shift: null, moved: null });
  $("step").onchange = () => {
    const { value, min, max } = $("step");
    set({ step: Math.max(Number(min), Math.min(Number(max), Number(value) || state.step)) });
  };
  $("picture").onkeydown = (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow || $("shift").hidden || event.target === $("step")) return;
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    move(...arrow);
  };
}

function listenToModel() {
  $("open").onclick = () => $("model-file").click();
  chosen($("model-file"), ([file]) => load({ device: state.wanted.device, file }));
  $("version").onchange = () => load({ device: state.wanted.device, name: $("version").value });
  $("device").onchange = () => {
    load({ ...state.wanted, device: /** @type {Options["device"]} */ ($("device").value) });
  };
  $("again").onclick = () => load(state.tried);
  $("dismiss").onclick = () => {
    set({ message: null });
    $("choose").focus();
  };
  $("filter").oninput = () => set({ filter: $("filter").value });
  $("watch-form").onsubmit = (event) => {
    event.preventDefault();
    watchNamed();
  };
  $("classes").onchange = ({ target }) => {
    const { value, checked } = /** @type {HTMLInputElement} */ (target);
    const others = state.watched.filter((name) => name !== value);
    watch(checked ? [...others, value] : others);
  };
  $("watch-none").onclick = () => watch([]);
  $("watch-some").onclick = () => watch(some(state.model?.classes ?? []));
  $("among").onchange = () => act({ among: $("among").checked });
}

function listenToPage() {
  for (const button of marked("language")) {
    button.onclick = () => speak(/** @type {Language} */ (button.dataset.language));
  }
  document.addEventListener("paste", async ({ clipboardData, target }) => {
    if (!clipboardData) return;
    const typing = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
    if (clipboardData.files.length || !typing) take(await filesOf(clipboardData));
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

/** Pictures that are served with the page; without them it does all else. */
async function findSamples() {
  try {
    const { samples } = await (await fetch("site.json")).json();
    set({ samples: samples ?? {} });
  } catch {
    // the model will tell that the server is gone
  }
}

async function start() {
  await useLanguage();
  for (const listen of [listenToPictures, listenToShifts, listenToModel, listenToPage]) listen();
  render(state);
  if (typeof WebAssembly !== "object") return tell(new PageError("error.noWebAssembly"));
  findSamples();
  await load(state.wanted);
  await navigator.serviceWorker?.register("sw.js").catch(() => {}); // storage off: no offline use
}

start();
