/** Loads the model and runs it, away from the page so that it never freezes. */

import { fetchFile, fetchJson } from "./download.mjs";
import { PageError, part } from "./errors.mjs";
import { readMetadata } from "./metadata.mjs";

/** @import { Device, Model, Options, Outcome, Question, Runner } from "./types.ts" */
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

/** What runs models of a task; that of most is here by the time they are. */
const RUNNERS = { classification: "classify", detection: "detect", forecasting: "forecast" };
part(RUNNERS.classification).catch(() => {});

/** @type {import("onnxruntime-web").InferenceSession|undefined} */
let session;
/** @type {Runner} */
let runner;

/** @type {Record<string, (options: any) => Promise<Model | Question | Outcome>>} */
const calls = { load, answer: (options) => runner.answer(options) };
let last = Promise.resolve(); // a session runs one picture at a time

onmessage = ({ data: { id, call, options } }) => {
  last = last.then(() => reply(id, call, options));
};

/**
 * @param {number} id
 * @param {string} call
 * @param {object} options
 */
async function reply(id, call, options) {
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
async function load(options) {
  const { device } = options;
  const gpu = device === "wasm" ? null : await adapter();
  if (device === "webgpu") {
    if (!gpu) throw new PageError("error.noWebgpu");
    return start("webgpu", options);
  }
  // One that is only imitated by the processor is slower than wasm.
  if (!gpu || gpu.info.isFallbackAdapter) return start("wasm", options);
  try {
    return await start("webgpu", options);
  } catch (error) {
    if (error instanceof PageError) throw error;
    return { ...(await start("wasm", options)), gpuFailed: true };
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
 * @param {Options} options
 * @returns {Promise<Model|Question>}
 */
async function start(device, { name, file, form, threads = processors() }) {
  const { script, binary, file: usual } = RUNTIMES[device];
  const report = progressOfAll();
  const site = await fetchJson("site.json");
  const served = !file;
  const model = served ? serve(name ?? usual, report) : open(file);
  const runtime = fetchFile(binary, site.files[binary], report(binary));
  /** @type {Promise<typeof import("onnxruntime-web")>} */
  const code = import(`./${script}`);
  const [{ bytes, kept }, wasm, ort] = await Promise.all([model, runtime, code]);
  const { metadata, properties } = readMetadata(bytes);
  ort.env.wasm.wasmBinary = wasm.bytes;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "fatal";
  await session?.release().catch(() => {}); // of the same file without its form, or of a GPU that failed
  try {
    /** @type {import("onnxruntime-web").InferenceSession.ExecutionProviderConfig} */
    const provider =
      device === "webgpu" // its Resize knows no antialiasing
        ? { name: device, forceCpuNodeNames: metadata.resizing }
        : { name: device };
    postMessage({ starting: threads > 1 });
    session = await ort.InferenceSession.create(bytes, { executionProviders: [provider] });
  } catch (error) {
    const { message: text } = /** @type {Error} */ (error);
    if (/no available backend/.test(String(error))) throw new PageError("error.noRuntime", { text });
    if (device === "webgpu") throw error;
    throw new PageError("error.cannotRun", { text });
  } finally {
    postMessage({ starting: false });
  }
  runner = await part(RUNNERS[metadata.task]);
  const opened = await runner.open(ort, session, { metadata, properties, form });
  if ("asks" in opened) return opened;
  return {
    ...metadata,
    ...opened,
    device,
    threads,
    name: file?.name ?? name ?? usual,
    served,
    megabytes: bytes.length / 1e6,
    kept: kept && wasm.kept,
  };
}

/** One logical processor each, few enough to leave the browser some. */
function processors() {
  if (!globalThis.crossOriginIsolated) return 1;
  const logical = navigator.hardwareConcurrency || 1;
  return Math.min(MOST_THREADS, logical <= 4 ? logical : Math.ceil(logical / 2));
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
