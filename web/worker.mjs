/** Decodes pictures and runs the model, away from the page so that it never freezes. */

import { fetchFile, fetchJson } from "./download.mjs";
import { PageError } from "./errors.mjs";
import { readMetadata } from "./metadata.mjs";
import { decode } from "./picture.mjs";

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

let ort;
let session;
let classes;

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
 * @param {{device: "auto"|"webgpu"|"wasm", name?: string, file?: File}} options - a served model
 *   by name, one from disk, or neither: int8 for wasm, fp32 for WebGPU
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
    const provider = { name: device };
    // WebGPU's Resize knows no antialiasing.
    if (device === "webgpu") provider.forceCpuNodeNames = metadata.resizing;
    session = await ort.InferenceSession.create(bytes, { executionProviders: [provider] });
  } catch (error) {
    if (/no available backend/.test(error)) throw new PageError("error.noRuntime", { text: error.message });
    if (device === "webgpu") throw error;
    throw new PageError("error.cannotRun", { text: error.message });
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

async function serve(name, report) {
  const path = `models/${name}`;
  const { files } = await fetchJson("models/model.json");
  if (!files?.[name]) throw new PageError("error.notServed", { path });
  return fetchFile(path, files[name], report(path));
}

async function open(file) {
  try {
    return { bytes: new Uint8Array(await file.arrayBuffer()), kept: true };
  } catch {
    throw new PageError("error.fileGone");
  }
}

/** Adds up the progress of several downloads and tells the page. */
function progressOfAll() {
  const parts = new Map();
  return (path) => (loaded, total) => {
    parts.set(path, [loaded, total]);
    const sum = (index) => [...parts.values()].reduce((all, part) => all + part[index], 0);
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

async function run(pixels, width, height) {
  const image = new ort.Tensor("uint8", pixels, [1, height, width, 3]);
  const { probabilities } = await session.run({ image });
  return Float32Array.from(probabilities.data);
}

/** The probabilities of a picture by class, how long that took (milliseconds), a thumbnail. */
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
