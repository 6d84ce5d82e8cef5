/** Runs a classifier. */

import { PageError } from "./errors.mjs";
import * as inputs from "./input.mjs";
import { decode } from "./picture.mjs";

/** @import { Form, Input, Metadata, Named, Question, Shift } from "./types.ts" */
/** @typedef {import("onnxruntime-web").InferenceSession} Session */

/** @type {typeof import("onnxruntime-web")} */
let ort;
/** @type {Session} */
let session;
/** @type {Input} */
let input;
/** @type {Form} */
let form;
/** Whether the model gives probabilities, not logits. */
let normalised = true;

/**
 * Makes a session ready for pictures.
 *
 * @param {typeof ort} runtime
 * @param {Session} opened
 * @param {{metadata: Metadata, form?: Form}} about
 * @returns {Promise<{classes: string[]}|Question>} a question: the file does not say all, and there
 *   is no form
 */
export async function open(runtime, opened, { metadata: { classes }, form: given }) {
  [ort, session] = [runtime, opened];
  input = inputs.pictureInput(session);
  if (!given && inputs.mustAsk(input, classes)) return { asks: input, classes };
  form = given ?? inputs.plainForm(input, classes);
  return { classes: await rehearse(classes.length ? classes : form.classes) };
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
  const names = classes.length ? unlike(classes) : [...result.keys()].map(String);
  if (result.length !== names.length) {
    throw new PageError("error.classCount", { outputs: result.length, classes: names.length });
  }
  return names;
}

/**
 * Names of which none is there twice: of two cranes each has its number behind it.
 *
 * @param {string[]} names
 */
function unlike(names) {
  const again = new Set(names.filter((name, place) => names.indexOf(name) !== place));
  return names.map((name, place) => (again.has(name) ? `${name} (${place})` : name));
}

/**
 * The model's numbers for a picture.
 *
 * @param {Uint8Array} pixels
 * @param {number} width
 * @param {number} height
 */
async function run(pixels, width, height) {
  const { name, type, layout, channels } = input;
  const shape = layout === "NCHW" ? [1, channels, height, width] : [1, height, width, channels];
  const image = new ort.Tensor(type, inputs.arranged(pixels, input, form), shape);
  const results = await session.run({ [name]: image });
  const { type: given, data } = results.probabilities ?? results[session.outputNames[0]];
  if (given !== "float32") throw new PageError("error.otherModel");
  return inputs.numbers(Float32Array.from(/** @type {Float32Array} */ (data)));
}

/**
 * The probabilities of a picture by class, how long that took (milliseconds), a thumbnail.
 *
 * @param {{file: File, shift?: Shift}} options - how far to move the picture first
 * @returns {Promise<Named>}
 */
export async function answer({ file, shift }) {
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
