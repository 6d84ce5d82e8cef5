/** The page: what a person does with it. */

import { dropWaiting, lookMoved, work } from "./answering.mjs";
import { $, marked } from "./document.mjs";
import { PageError, part } from "./errors.mjs";
import { filesOf, isPicture } from "./files.mjs";
import { language, setLanguage, t, useLanguage } from "./i18n.mjs";
import { entryAt } from "./list.mjs";
import { chosen, isOther, load, partsOf } from "./model.mjs";
import { another, findSite, sampleFile, some } from "./random.mjs";
import * as states from "./state.mjs";
import { act, set, state, tell } from "./store.mjs";
import { render } from "./view.mjs";

/** @import { Done, Entry, Language, Model, Options, State } from "./types.ts" */

const FARTHEST = 0.9;
/** Shift, in parts of the picture. */
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function undo() {
  if (state.coming && state.undoable) {
    state.coming.close();
    set({ coming: null, loading: null, message: null });
    return work();
  }
  const before = state.past.at(-1);
  if (before) goBack(before, state.past.slice(0, -1));
}

function reset() {
  goBack(states.nothingDone(), []);
  set({ filter: "", step: states.STEP, told: [], answers: new Map() });
  $("filter").value = "";
}

/**
 * @param {Done} before
 * @param {Done[]} past
 */
function goBack({ wanted, ...before }, past) {
  const { answers } = state;
  const asked = before.entries.filter((entry) => state.asked.includes(entry) || !answers.has(entry));
  set({ ...before, past, asked, moved: null, message: null, follow: false });
  if (isOther(wanted)) return load(wanted, false); // also of another task
  set({ wanted });
  work();
  lookMoved();
}

/**
 * Takes pictures (or a model) that a person chose.
 *
 * @param {File[]} files
 * @param {Partial<State>} more - that changes with it
 */
function take(files, more = {}) {
  const file = files.find(({ name }) => name?.toLowerCase().endsWith(".onnx"));
  if (file) return load({ device: chosen().device, file });
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

/**
 * What was dropped or pasted; to a forecaster also text.
 *
 * @param {DataTransfer} transfer
 */
async function given(transfer) {
  const text = transfer.getData("text/plain"); // before the list is emptied
  const files = await filesOf(transfer);
  if (files.length || state.parts.pictures || !text.trim()) return files;
  return [new File([text], t("series.pasted"))];
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

function randomPicture() {
  if (state.folder.length) return take([another(state.folder)]);
  return takeSample(another(states.usableSamples(state)));
}

/** @param {string} path */
async function takeSample(path) {
  try {
    take([await sampleFile(path, state.samples[path])]);
  } catch (error) {
    tell(error);
  }
}

let cameraOpen = false;
let shots = 0;

async function useCamera() {
  if (cameraOpen) return; // a second click while the permission is asked
  cameraOpen = true;
  try {
    const { takePicture } = await part("camera");
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
function picked(input, use) {
  input.onchange = () => {
    const files = [...(input.files ?? [])];
    input.value = ""; // the same file can be chosen again
    if (files.length) use(files);
  };
}

function listenToPictures() {
  $("choose").onclick = () => $("files").click();
  picked($("files"), take);
  $("camera").onclick = useCamera;
  $("random").onclick = randomPicture;
  $("samples").onclick = ({ target }) => {
    const button = /** @type {HTMLElement} */ (target).closest("button");
    if (button) takeSample(button.value);
  };
  $("folder").onclick = () => $("folder-files").click();
  picked($("folder-files"), (files) => {
    const folder = files.filter(isPicture);
    if (!folder.length) return tell(new PageError("error.noPicturesInFolder"));
    take([another(folder)], { folder });
  });
  $("undo").onclick = undo;
  $("reset").onclick = reset;
  $("stop").onclick = dropWaiting;
  $("csv").onclick = () => part("csv").then(({ saveCsv }) => saveCsv(state)).catch(tell);
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
  picked($("model-file"), ([file]) => load({ device: chosen().device, file }));
  $("version").onchange = () => load({ device: chosen().device, name: $("version").value });
  $("device").onchange = () => {
    load({ ...chosen(), device: /** @type {Options["device"]} */ ($("device").value) });
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
    if (clipboardData.files.length || !typing) take(await given(clipboardData));
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
    if (event.dataTransfer) take(await given(event.dataTransfer));
  });
}

async function start() {
  const possible = typeof WebAssembly === "object";
  const loaded = possible && load(state.wanted); // while the sentences come
  await useLanguage();
  for (const listen of [listenToPictures, listenToShifts, listenToModel, listenToPage]) listen();
  render(state);
  if (!possible) return tell(new PageError("error.noWebAssembly"));
  const told = findSite().then(async ({ samples, task }) => {
    set({ samples, parts: state.model ? state.parts : await partsOf(task) });
  });
  told.catch(tell);
  await loaded;
  await work(); // what it keeps would come before the first answer
  await navigator.serviceWorker?.register("sw.js").catch(() => {}); // storage off: no offline use
}

start();
