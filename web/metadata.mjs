/** Reads what an ONNX file says about itself; onnxruntime-web does not hand its metadata on. */

import { PageError } from "./errors.mjs";

/** @import { Metadata } from "./types.ts" */

const IR_VERSION = 1;
const GRAPH = 7;
const METADATA = 14;
const [NODE, NODE_NAME, OPERATOR] = [1, 3, 4]; // in the graph
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5];
const OTHER_TASKS = /** @type {const} */ (["detection", "forecasting"]);
const text = new TextDecoder();

/**
 * The fields of a protobuf message, [number, value] each: bytes, or a number for a varint.
 *
 * @param {any} bytes - a Uint8Array; anything else, in a broken file, has no fields
 * @returns {Generator<[number, any]>}
 */
function* fields(bytes) {
  let at = 0;

  function varint() {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (at >= bytes.length || factor > 2 ** 63) throw new RangeError("cut off");
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  /** @param {number} length */
  function take(length) {
    if (at + length > bytes.length) throw new RangeError("cut off");
    at += length;
    return bytes.subarray(at - length, at);
  }

  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case VARINT:
        yield [number, varint()];
        break;
      case FIXED64:
        yield [number, take(8)];
        break;
      case BYTES:
        yield [number, take(varint())];
        break;
      case FIXED32:
        yield [number, take(4)];
        break;
      default:
        throw new RangeError("no protobuf");
    }
  }
}

/**
 * The metadata of an ONNX model, key by key, and its graph.
 *
 * @param {Uint8Array} bytes
 */
function contents(bytes) {
  /** @type {Record<string, string>} */
  const found = {};
  let model = false;
  let graph = null;
  try {
    for (const [number, value] of fields(bytes)) {
      if (number === IR_VERSION) model = typeof value === "number" && value > 0;
      if (number === GRAPH) graph = value;
      if (number === METADATA) {
        const entry = Object.fromEntries(fields(value));
        found[text.decode(entry[1])] = text.decode(entry[2]);
      }
    }
  } catch {
    throw new PageError(model ? "error.modelCutOff" : "error.notOnnx");
  }
  if (!model || !graph?.length) throw new PageError("error.notOnnx");
  return { properties: found, graph };
}

/**
 * The names of the nodes that resize.
 *
 * @param {Uint8Array} graph
 */
function resizing(graph) {
  const nodes = [...fields(graph)].filter(([number]) => number === NODE);
  return nodes
    .map(([, value]) => Object.fromEntries(fields(value)))
    .filter((node) => text.decode(node[OPERATOR]) === "Resize")
    .map((node) => text.decode(node[NODE_NAME]));
}

/**
 * What this project's export wrote into a model, if it did.
 *
 * @param {Uint8Array} bytes - the file
 * @returns {{metadata: Metadata, properties: Record<string, string>}} properties: as they stand
 */
export function readMetadata(bytes) {
  const { properties, graph } = contents(bytes);
  const { classes, threshold, metrics, data, params, code } = properties;
  const names = parse(classes);
  const named = Array.isArray(names) && names.every((name) => typeof name === "string");
  const least = Number(threshold ?? 0);
  if (!(least >= 0 && least <= 1)) throw new PageError("error.otherModel");
  /** @type {Metadata} */
  const metadata = {
    task: OTHER_TASKS.find((task) => task === parse(properties.task)) ?? "classification",
    classes: named ? names : [],
    threshold: least,
    metrics: parse(metrics) ?? {},
    hashes: { data, params, code },
    resizing: resizing(graph),
  };
  return { metadata, properties };
}

/** @param {string} json */
export function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
