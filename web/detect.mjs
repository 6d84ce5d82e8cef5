/** Runs a detector that `springfield export` wrote, as serving/detect.py does. */

import { PageError } from "./errors.mjs";
import * as inputs from "./input.mjs";
import { decode } from "./picture.mjs";

/** @import { Box, Found, Metadata, Shift } from "./types.ts" */
/** @typedef {import("onnxruntime-web").InferenceSession} Session */

const TRIED = 64;
/** Side of a picture to try a model with. */

/** @type {typeof import("onnxruntime-web")} */
let ort;
/** @type {Session} */
let session;
/** @type {string[]} */
let classes;
/** The lowest score of a box that is shown. */
let threshold = 0;

/**
 * Makes a session ready for pictures.
 *
 * @param {typeof ort} runtime
 * @param {Session} opened
 * @param {{metadata: Metadata}} about
 */
export async function open(runtime, opened, { metadata }) {
  [ort, session, { classes, threshold }] = [runtime, opened, metadata];
  const { name, type, layout } = inputs.pictureInput(session);
  const fits = name === "image" && type === "uint8" && layout === "NHWC";
  if (!fits || !classes.length) throw new PageError("error.otherModel");
  await run(new Uint8Array(TRIED * TRIED * 3), TRIED, TRIED);
  return {};
}

/**
 * What is found in a picture, in its own pixels, the best first.
 *
 * @param {Uint8Array} pixels - height x width x 3
 * @param {number} width
 * @param {number} height
 * @returns {Promise<Box[]>}
 */
async function run(pixels, width, height) {
  const image = new ort.Tensor("uint8", pixels, [1, height, width, 3]);
  const { boxes, scores, labels } = await session.run({ image });
  const count = scores?.dims[1];
  const fits = scores?.type === "float32" && boxes?.type === "float32" && labels?.type === "int64";
  if (!fits || boxes.dims.join() !== `1,${count},4` || labels.dims.join() !== `1,${count}`) {
    throw new PageError("error.otherModel");
  }
  const corners = inputs.numbers(/** @type {Float32Array} */ (boxes.data));
  const found = [...inputs.numbers(/** @type {Float32Array} */ (scores.data))].map((score, place) => ({
    label: Number(labels.data[place]),
    score,
    corners: [...corners.subarray(4 * place, 4 * place + 4)],
  }));
  const shown = found.filter(({ score }) => score > 0 && score >= threshold);
  if (!shown.every(({ label }) => label in classes)) throw new PageError("error.otherModel");
  return shown;
}

/**
 * What is where in a picture, how long that took (milliseconds), a thumbnail.
 *
 * @param {{file: File, shift?: Shift}} options - how far to move the picture first
 * @returns {Promise<Found>}
 */
export async function answer({ file, shift }) {
  const started = performance.now();
  const any = { width: null, height: null };
  const { pixels, width, height, block, original, ...shown } = await decode(file, any, shift);
  const decoded = performance.now();
  const boxes = await run(pixels, width, height);
  const ended = performance.now();
  const whole = [...original, ...original];
  return {
    ...shown,
    boxes: boxes.map(({ corners, ...box }) => ({
      ...box, // the last block may be smaller than the others
      corners: corners.map((side, place) => Math.min(side * block, whole[place])),
    })),
    original,
    size: [width, height],
    milliseconds: { decode: decoded - started, run: ended - decoded },
  };
}
