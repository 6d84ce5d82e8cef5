/** Decodes pictures and runs the model, away from the page so that it never freezes. */

import { fetchFile, fetchJson } from "./download.mjs";
import { PageError } from "./errors.mjs";
import { readMetadata } from "./metadata.mjs";
import { decode } from "./picture.mjs";

/** @import { Device, Model, Options, Outcome } from "./types.ts" */
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
/** @type {import("onnxruntime-web").InferenceSession} */
let session;
/** @type {string[]} */
let classes;

/** @type {Record<string, (options: any) => Promise<Model | Outcome>>} */
const calls = { load, classify };

onmessage = async ({ data: { id, call, options } }) => {
  try {
    postMessage({ id, value: await calls[call](options) });
  } catch (error) {
    const { key, values } = PageError.from(error);
    postMessage({ id, error: { key, values } });
  }
};

/**
 * Loads a model, and the runtime that suits the machine.
 *
 * @param {Options} options - a served model by name, one from disk, or neither: int8 for wasm,
 *   fp32 for WebGPU
 * @returns {Promise<Model>}
 */
async function load({ device, name, file }) {
  const gpu = device === "wasm" ? null : await adapter();
  if (device === "webgpu") {
    if (!gpu) throw new PageError("error.noWebgpu");
    return start("webgpu", name, file);
  }
  // One that is only imitated by the processor is slower than wasm.
  if (!gpu || gpu.info.isFallbackAdapter) return start("wasm", name, file);
  try {
    return await start("webgpu", name, file);
  } catch (error) {
    if (error instanceof PageError) throw error;
    return { ...(await start("wasm", name, file)), gpuFailed: true };
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
 * @returns {Promise<Model>}
 */
async function start(device, name, file) {
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
  classes = metadata.classes;
  await rehearse();
  return {
    ...metadata,
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

/** Runs the model once: it must take a picture, and give as many numbers as it has classes. */
async function rehearse() {
  const { inputNames, outputNames } = session;
  if (!inputNames.includes("image") || !outputNames.includes("probabilities")) {
    throw new PageError("error.otherModel");
  }
  const side = 64;
  const result = await run(new Uint8Array(side * side * 3), side, side);
  if (result.length !== classes.length) {
    throw new PageError("error.classCount", { outputs: result.length, classes: classes.length });
  }
}

/**
 * @param {Uint8Array} pixels
 * @param {number} width
 * @param {number} height
 */
async function run(pixels, width, height) {
  const image = new ort.Tensor("uint8", pixels, [1, height, width, 3]);
  const { probabilities } = await session.run({ image });
  return Float32Array.from(/** @type {Float32Array} */ (probabilities.data));
}

/**
 * The probabilities of a picture by class, how long that took (milliseconds), a thumbnail.
 *
 * @param {{file: File}} options
 * @returns {Promise<Outcome>}
 */
async function classify({ file }) {
  const started = performance.now();
  const { pixels, width, height, original, thumbnail } = await decode(file);
  const decoded = performance.now();
  const probabilities = await run(pixels, width, height);
  const ended = performance.now();
  return {
    probabilities,
    thumbnail,
    original,
    size: [width, height],
    milliseconds: { decode: decoded - started, run: ended - decoded },
  };
}
