/** What a model takes and gives, read off the model itself; pixels as it takes them. */

import { PageError } from "./errors.mjs";

/** @import { Form, Input } from "./types.ts" */
/** @typedef {import("onnxruntime-web").InferenceSession} Session */

const TOLERANCE = 1e-3;
/** By which probabilities may miss 1. */
const LUMA = [0.299, 0.587, 0.114];
const USUAL = 64;
/** Side of a picture to try a model with that takes any size. */

/**
 * The one picture that a model takes.
 *
 * @param {Session} session
 * @returns {Input}
 */
export function pictureInput({ inputMetadata }) {
  const [input, another] = inputMetadata;
  if (another || !input?.isTensor || input.shape.length !== 4) throw new PageError("error.otherModel");
  const { name, type, shape } = input;
  if (type !== "uint8" && type !== "float32") throw new PageError("error.otherModel");
  const layout = isChannels(shape[1]) ? "NCHW" : "NHWC";
  const [channels, height, width] =
    layout === "NCHW" ? [shape[1], shape[2], shape[3]] : [shape[3], shape[1], shape[2]];
  const one = shape[0] === 1 || !isFixed(shape[0]);
  if (!one || !isChannels(channels)) throw new PageError("error.otherModel");
  return {
    name,
    type,
    layout,
    channels: /** @type {1|3} */ (channels),
    width: isFixed(width) ? Number(width) : null,
    height: isFixed(height) ? Number(height) : null,
  };
}

/** @param {number|string} size */
const isChannels = (size) => size === 1 || size === 3;
/** @param {number|string} size - symbolic ones are words, or below 1 */
const isFixed = (size) => typeof size === "number" && size > 0;

/**
 * Whether a person must say what the file does not.
 *
 * @param {Input} input
 * @param {string[]} classes - that the file names
 */
export function mustAsk({ type }, classes) {
  return type === "float32" || !classes.length;
}

/**
 * A form for a file that says it all: its uint8 pixels are taken as they are.
 *
 * @param {Input} input
 * @param {string[]} classes
 * @returns {Form}
 */
export function plainForm({ width, height }, classes) {
  return { width, height, mean: [0], std: [1], classes };
}

/**
 * Width and height of a picture to try a model with.
 *
 * @param {Form} form
 * @returns {[number, number]}
 */
export function trialSize({ width, height }) {
  return [width ?? USUAL, height ?? USUAL];
}

/**
 * Pixels as the model takes them: its type, layout and scale.
 *
 * @param {Uint8Array} rgb - height x width x 3
 * @param {Input} input
 * @param {Form} form
 * @returns {Uint8Array|Float32Array}
 */
export function arranged(rgb, { type, layout, channels }, { mean, std }) {
  const pixels = channels === 1 ? grey(rgb) : rgb;
  const count = pixels.length / channels;
  if (type === "uint8" && layout === "NHWC") return pixels;
  const result = type === "uint8" ? new Uint8Array(pixels.length) : new Float32Array(pixels.length);
  for (let channel = 0; channel < channels; channel++) {
    const [middle, scale] = [mean[channel] ?? mean[0], std[channel] ?? std[0]];
    for (let pixel = 0; pixel < count; pixel++) {
      const from = pixel * channels + channel;
      const to = layout === "NHWC" ? from : channel * count + pixel;
      result[to] = type === "uint8" ? pixels[from] : (pixels[from] / 255 - middle) / scale;
    }
  }
  return result;
}

/** @param {Uint8Array} rgb */
function grey(rgb) {
  const result = new Uint8Array(rgb.length / 3);
  for (let pixel = 0; pixel < result.length; pixel++) {
    const sum = LUMA.reduce((all, part, channel) => all + part * rgb[pixel * 3 + channel], 0);
    result[pixel] = Math.round(sum);
  }
  return result;
}

/**
 * Outputs that must be numbers.
 *
 * @param {Float32Array} outputs
 */
export function numbers(outputs) {
  if (!outputs.every(Number.isFinite)) throw new PageError("error.otherModel");
  return outputs;
}

/**
 * Whether outputs are probabilities already.
 *
 * @param {Float32Array} outputs
 */
export function areProbabilities(outputs) {
  const sum = outputs.reduce((all, one) => all + one, 0);
  return outputs.every((one) => one >= 0) && Math.abs(sum - 1) < TOLERANCE;
}

/** @param {Float32Array} logits */
export function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((one) => Math.exp(one - most));
  const sum = powers.reduce((all, one) => all + one, 0);
  return powers.map((one) => one / sum);
}
