/** The page: what a person does with it, and the pictures that wait for an answer. */

import { takePicture } from "./camera.mjs";
import { Classifier } from "./classifier.mjs";
import { toCsv } from "./csv.mjs";
import { PageError } from "./errors.mjs";
import { filesOf, isPicture } from "./files.mjs";
import { setLanguage, t } from "./i18n.mjs";
import * as view from "./view.mjs";

const { $ } = view;
const BROKEN = ["error.memory", "error.unexpected", "error.workerFailed"];
/** After these the worker starts anew, for the next picture. */

let classifier = null;
let coming = null; // the classifier that is loading
let model = null; // what the worker says of the loaded one
let wanted = { device: "auto" }; // what was loaded: device, and name or file
let tried = wanted; // what to try again
let loading = null; // bytes of the download
let message = null;
/** A picture each: file, name, batch (what one action brought); then outcome or error, and row. */
let entries = [];
let current = null; // the entry that is shown
let follow = true; // show each picture as its answer comes
let batches = 0;
let queued = 0; // pictures asked for since the list was last done
let working = false;
let watched = new Set();
let folder = []; // pictures that Random draws from
let samples = null;
let drawnLast = null;
let shots = 0;

function tell(error, again = false) {
  const { key, values } = PageError.from(error);
  message = { key, values, again };
  view.drawMessage(message);
}

function note(key, values) {
  message = { key, values };
  view.drawMessage(message);
}

function clearMessage() {
  message = null;
  view.drawMessage(null);
}

/** Loads a model; the one before stays until the new one answered. */
async function load(options) {
  clearMessage();
  tried = options;
  loading = { loaded: 0 };
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

/** Takes pictures (or a model) that a person chose. */
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

const isWaiting = ({ outcome, error }) => !outcome && !error;

/** Answers picture after picture until none waits. */
async function work() {
  if (working || !classifier) return;
  working = true;
  for (let entry; (entry = entries.find(isWaiting)); ) {
    const used = classifier;
    drawList();
    if (follow) select(entry);
    const found = await ask(used, entry);
    if (used !== classifier || !entries.includes(entry)) continue; // another model, or undone
    Object.assign(entry, found);
    addRow(entry);
    if (entry === current) select(entry);
    if (BROKEN.includes(entry.error?.key)) await restart();
  }
  working = false;
  queued = 0;
  drawList();
}

async function ask(used, { file }) {
  try {
    return { outcome: await used.classify(file) };
  } catch (error) {
    return { error: PageError.from(error) };
  }
}

/** The same model in a fresh worker. */
async function restart() {
  classifier.close();
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

function select(entry) {
  if (entry !== current || entry?.error) view.drawPicture(entry);
  current = entry;
  if (entry && model && !loading) view.drawAnswer(entry, model, watched);
  else view.drawLoading(loading, model);
  markRow();
}

/** A row was clicked: stay with that picture. */
function choose(entry) {
  follow = false;
  select(entry);
  $("drop").scrollIntoView({ block: "nearest" });
}

function finished() {
  return entries.filter((entry) => !isWaiting(entry));
}

function addRow(entry) {
  entry.row = view.row(entry, model, choose);
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
  if (document.activeElement.disabled) $("choose").focus(); // the keyboard goes on from there
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
  view.drawWatchCount(watched);
  view.drawClasses(model, watched, $("filter").value, (name, on) => {
    if (on) watched.add(name);
    else watched.delete(name);
    view.drawWatchCount(watched);
    if (current) view.drawAnswer(current, model, watched);
  });
}

/** Drops the entries of the last action, or those that still wait. */
function drop(gone) {
  entries = entries.filter((entry) => !gone(entry));
  queued = entries.filter(isWaiting).length;
  drawRows();
  drawList();
  if (!entries.includes(current)) select(entries.at(-1) ?? null);
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

/** One of several, and not the last one again. */
function another(several) {
  const others = several.filter((one) => one !== drawnLast);
  const from = others.length ? others : several;
  drawnLast = from[Math.floor(Math.random() * from.length)];
  return drawnLast;
}

function saveCsv() {
  const done = finished();
  const head = ["picture", "answer", "confidence", "sure", "error", "milliseconds"];
  const rows = done.map((entry) => {
    if (entry.error) return [entry.name, "", "", "", t(entry.error.key, entry.error.values)];
    const { decode, run } = entry.outcome.milliseconds;
    const [best, share] = view.ranked(entry.outcome)[0];
    const scores = [...entry.outcome.probabilities].map((value) => value.toFixed(6));
    const sure = view.isSure(entry, model) ? "yes" : "no";
    const time = (decode + run).toFixed(1);
    return [entry.name, model.classes[best], share.toFixed(6), sure, "", time, ...scores];
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([toCsv([[...head, ...model.classes], ...rows])], { type: "text/csv" }));
  link.download = "springfield.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function useCamera() {
  try {
    const blob = await takePicture();
    if (!blob) return;
    shots += 1;
    take([new File([blob], t("camera.name", { n: shots }), { type: blob.type })]);
  } catch (error) {
    tell(error);
  }
}

function listen() {
  const chosen = (input, use) => () => {
    const files = [...input.files];
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
    const last = entries.at(-1).batch;
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
  $("version").onchange = ({ target }) => load({ device: wanted.device, name: target.value });
  $("device").onchange = ({ target }) => load({ device: target.value, file: wanted.file });
  $("again").onclick = () => load(tried);
  $("dismiss").onclick = () => {
    clearMessage();
    $("choose").focus();
  };
  $("filter").oninput = drawClasses;
  $("watch-none").onclick = () => {
    watched.clear();
    drawClasses();
    if (current) view.drawAnswer(current, model, watched);
  };
  for (const button of document.querySelectorAll("[data-language]")) {
    button.onclick = () => {
      setLanguage(button.dataset.language);
      draw();
    };
  }
  document.addEventListener("paste", async ({ clipboardData, target }) => {
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
    take(await filesOf(event.dataTransfer));
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
