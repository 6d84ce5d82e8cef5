/** Runs a forecaster that `springfield export` wrote, as serving/forecast.py does. */

import { shown, steps } from "./calendar.mjs";
import { PageError } from "./errors.mjs";
import { numbers } from "./input.mjs";
import { parse } from "./metadata.mjs";
import { readTable } from "./table.mjs";

/** @import { Continued, Forecasting } from "./types.ts" */
/** @typedef {import("onnxruntime-web").InferenceSession} Session */

const DRAWN = 5;
/** Horizons of known values that are drawn. */

/** @type {typeof import("onnxruntime-web")} */
let ort;
/** @type {Session} */
let session;
/** @type {Forecasting} */
let about;

/**
 * Makes a session ready for series.
 *
 * @param {typeof ort} runtime
 * @param {Session} opened
 * @param {{properties: Record<string, string>}} about - what the file says
 * @returns {Promise<{forecasting: Forecasting}>}
 */
export async function open(runtime, opened, { properties }) {
  [ort, session] = [runtime, opened];
  const [columns, window, horizon, levels] = ["columns", "window", "horizon", "levels"].map((name) =>
    parse(properties[name]),
  );
  about = { columns, window, horizon, levels };
  if (!isWhole(about)) throw new PageError("error.otherModel");
  const found = await run(new Float32Array(window));
  if (found.length !== horizon) throw new PageError("error.otherModel");
  return { forecasting: about };
}

/** @param {Forecasting} told - by the file */
function isWhole({ columns, window, horizon, levels }) {
  const texts = [columns?.time, columns?.value, columns?.frequency];
  return (
    texts.every((text) => typeof text === "string" && text) &&
    [window, horizon].every((one) => Number.isInteger(one) && one > 0) &&
    Array.isArray(levels) &&
    levels.every((level) => level > 0 && level < 1)
  );
}

/**
 * Quantiles of the values that come, ascending, a row each.
 *
 * @param {Float32Array} given - the newest values
 */
async function run(given) {
  const [input, another] = session.inputMetadata;
  const fits = !another && input?.name === "values" && input.isTensor && input.type === "float32";
  if (!fits || input.shape[1] !== given.length) throw new PageError("error.otherModel");
  const { quantiles } = await session.run({ values: new ort.Tensor("float32", given, [1, given.length]) });
  const count = 2 * about.levels.length + 1;
  if (quantiles?.type !== "float32" || quantiles.dims[2] !== count) throw new PageError("error.otherModel");
  const found = numbers(/** @type {Float32Array} */ (quantiles.data));
  const row = (/** @type {number} */ place) => [...found.subarray(place * count, (place + 1) * count)];
  return Array.from({ length: quantiles.dims[1] }, (_, place) => row(place));
}

/**
 * How the series of a CSV goes on.
 *
 * @param {{file: File}} options
 * @returns {Promise<Continued>}
 */
export async function answer({ file }) {
  const started = performance.now();
  const { columns, window, horizon, levels } = about;
  const bytes = await file.arrayBuffer().catch(() => {
    throw new PageError("error.fileGone");
  });
  const { times, values } = readTable(new Uint8Array(bytes), columns);
  if (values.length < window) throw new PageError("error.tooShort", { n: values.length, window });
  const hole = values.findIndex((value, place) => place >= values.length - window && Number.isNaN(value));
  if (hole >= 0) throw new PageError("error.hole", { time: shown(times[hole]) });
  const decoded = performance.now();
  const found = await run(Float32Array.from(values.slice(-window)));
  const ended = performance.now();
  const { after } = steps(columns.frequency);
  let time = times[times.length - 1];
  const middle = levels.length;
  return {
    coming: found.map((quantiles) => ({
      time: (time = after(time)),
      value: quantiles[middle],
      intervals: levels.map((_, n) => [quantiles[middle - n - 1], quantiles[middle + n + 1]]),
    })),
    known: { times: times.slice(-DRAWN * horizon), values: values.slice(-DRAWN * horizon) },
    count: values.length,
    milliseconds: { decode: decoded - started, run: ended - decoded },
  };
}
