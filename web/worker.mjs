/** Decodes pictures and runs the model, away from the page so that it never freezes. */

import { fetchFile, fetchJson } from "./download.mjs";
import { PageError } from "./errors.mjs";
import * as inputs from "./input.mjs";
import { readMetadata } from "./metadata.mjs";
import { decode } from "./picture.mjs";

/** @import { Device, Form, Input, Model, Options, Outcome, Question, Shift } from "./types.ts" */
/** @typedef {(loaded: number, total: number) => void} Report */

const RUNTIMES = {
  wasm: {
    script: "vendor/ort.wasm.min.mjs",
    binary: "vendor/ort-wasm-simd-threaded.wasm",
    file: "springfield.int8.onnx",
  },
  webgpu: {
    script: "vendor/ort.webgpu.min.mjs",
    binary: "vendor/ort-wasm-simd-threaded.asyncify.wasm",
    file: "springfield.onnx",
  },
};
const MOST_THREADS = 8;

/** @type {typeof import("onnxruntime-web")} */
let ort;
/** @type {import("onnxruntime-web").InferenceSession|undefined} */
let session;
/** @type {Input} */
let input;
/** @type {Form} */
let form;
/** Whether the model gives probabilities, not logits. */
let normalised = true;

/** @type {Record<string, (options: any) => Promise<Model | Question | Outcome>>} */
const calls = { load, classify };
let last = Promise.resolve(); // a session runs one picture at a time

onmessage = ({ data: { id, call, options } }) => {
  last = last.then(() => answer(id, call, options));
};

/**
 * @param {number} id
 * @param {string} call
 * @param {object} options
 */
async function answer(id, call, options) {
  try {
    postMessage({ id, value: await calls[call](options) });
  } catch (error) {
    const { key, values } = PageError.from(error);
    postMessage({ id, error: { key, values } });
  }
}

/**
 * Loads a model, and the runtime that suits the machine.
 *
 * @param {Options} options - a served model by name, one from disk, or neither: int8 for wasm,
 *   fp32 for WebGPU
 * @returns {Promise<Model|Question>} a question: the file does not say all, and there is no form
 */
async function load({ device, name, file, form: given }) {
  const gpu = device === "wasm" ? null : await adapter();
  if (device === "webgpu") {
    if (!gpu) throw new PageError("error.noWebgpu");
    return start("webgpu", name, file, given);
  }
  // One that is only imitated by the processor is slower than wasm.
  if (!gpu || gpu.info.isFallbackAdapter) return start("wasm", name, file, given);
  try {
    return await start("webgpu", name, file, given);
  } catch (error) {
    if (error instanceof PageError) throw error;
    return { ...(await start("wasm", name, file, given)), gpuFailed: true };
  }
}

async function adapter() {
  try {
    return await navigator.gpu?.requestAdapter();
  } catch {
    return null;
  }
}

/**
 * @param {Device} device
 * @param {string|undefined} name
 * @param {File|undefined} file
 * @param {Form|undefined} given
 * @returns {Promise<Model|Question>}
 */
async function start(device, name, file, given) {
  const { script, binary, file: usual } = RUNTIMES[device];
  const report = progressOfAll();
  const site = await fetchJson("site.json");
  const served = !file;
  const model = served ? serve(name ?? usual, report) : open(file);
  const runtime = fetchFile(binary, site.files[binary], report(binary));
  const [{ bytes, kept }, wasm] = await Promise.all([model, runtime]);
  const metadata = readMetadata(bytes);
  ort = await import(`./${script}`);
  ort.env.wasm.wasmBinary = wasm.bytes;
  ort.env.wasm.numThreads = threads();
  ort.env.logLevel = "fatal";
  await session?.release().catch(() => {}); // of the same file without its form, or of a GPU that failed
  try {
    /** @type {import("onnxruntime-web").InferenceSession.ExecutionProviderConfig} */
    const provider =
      device === "webgpu" // its Resize knows no antialiasing
        ? { name: device, forceCpuNodeNames: metadata.resizing }
        : { name: device };
    session = await ort.InferenceSession.create(bytes, { executionProviders: [provider] });
  } catch (error) {
    const { message: text } = /** @type {Error} */ (error);
    if (/no available backend/.test(String(error))) throw new PageError("error.noRuntime", { text });
    if (device === "webgpu") throw error;
    throw new PageError("error.cannotRun", { text });
  }
  input = inputs.pictureInput(session);
  if (!given && inputs.mustAsk(input, metadata.classes)) {
    return { asks: input, classes: metadata.classes };
  }
  form = given ?? inputs.plainForm(input, metadata.classes);
  const classes = await rehearse(metadata.classes.length ? metadata.classes : form.classes);
  return {
    ...metadata,
    classes,
    device,
    threads: ort.env.wasm.numThreads,
    name: file?.name ?? name ?? usual,
    served,
    megabytes: bytes.length / 1e6,
    kept: kept && wasm.kept,
  };
}

/** One logical processor each, few enough to leave the browser some. */
function threads() {
  if (!globalThis.crossOriginIsolated) return 1;
  const processors = navigator.hardwareConcurrency || 1;
  return Math.min(MOST_THREADS, processors <= 4 ? processors : Math.ceil(processors / 2));
}

/**
 * @param {string} name
 * @param {(path: string) => Report} report
 */
async function serve(name, report) {
  const path = `models/${name}`;
  const { files } = await fetchJson("models/model.json");
  if (!files?.[name]) throw new PageError("error.notServed", { path });
  return fetchFile(path, files[name], report(path));
}

/** @param {File} file */
async function open(file) {
  try {
    return { bytes: new Uint8Array(await file.arrayBuffer()), kept: true };
  } catch {
    throw new PageError("error.fileGone");
  }
}

/** Adds up the progress of several downloads and tells the page. */
function progressOfAll() {
  /** @type {Map<string, [number, number]>} loaded and total */
  const parts = new Map();
  return (/** @type {string} */ path) => (/** @type {number} */ loaded, /** @type {number} */ total) => {
    parts.set(path, [loaded, total]);
    const sum = (/** @type {0|1} */ index) => [...parts.values()].reduce((all, part) => all + part[index], 0);
    postMessage({ progress: { loaded: sum(0), total: sum(1) } });
  };
}

/**
 * Runs the model once: it must take a picture, and give as many numbers as it has classes.
 *
 * @param {string[]} classes - none: they are numbered
 */
async function rehearse(classes) {
  const [width, height] = inputs.trialSize(form);
  const result = await run(new Uint8Array(width * height * 3), width, height);
  normalised = inputs.areProbabilities(result);
  const names = classes.length ? classes : [...result.keys()].map(String);
  if (result.length !== names.length) {
    throw new PageError("error.classCount", { outputs: result.length, classes: names.length });
  }
  return names;
}

/**
 * The model's numbers for a picture.
 *
 * @param {Uint8Array} pixels
 * @param {number} width
 * @param {number} height
 */
async function run(pixels, width, height) {
  const loaded = /** @type {NonNullable<typeof session>} */ (session);
  const { name, type, layout, channels } = input;
  const shape = layout === "NCHW" ? [1, channels, height, width] : [1, height, width, channels];
  const image = new ort.Tensor(type, inputs.arranged(pixels, input, form), shape);
  const results = await loaded.run({ [name]: image });
  const { type: given, data } = results.probabilities ?? results[loaded.outputNames[0]];
  if (given !== "float32") throw new PageError("error.otherModel");
  return inputs.numbers(Float32Array.from(/** @type {Float32Array} */ (data)));
}

/**
 * The probabilities of a picture by class, how long that took (milliseconds), a thumbnail.
 *
 * @param {{file: File, shift?: Shift}} options - how far to move the picture first
 * @returns {Promise<Outcome>}
 */
async function classify({ file, shift }) {
  const started = performance.now();
  const { pixels, width, height, original, thumbnail, moved } = await decode(file, form, shift);
  const decoded = performance.now();
  const result = await run(pixels, width, height);
  const ended = performance.now();
  return {
    probabilities: normalised ? result : inputs.softmax(result),
    thumbnail,
    moved,
    original,
    size: [width, height],
    milliseconds: { decode: decoded - started, run: ended - decoded },
  };
}
