/** Types that several modules of the page share. Only tsc reads this file; it is not served. */

/** What is put into a sentence, by name. */
export type Values = Record<string, string | number>;

/** Bytes of all downloads; `total` is NaN where a server does not say it. */
export interface Progress {
  loaded: number;
  total: number;
}

export type Device = "webgpu" | "wasm";

/** What to load: a served model by name, one from disk, or neither (the usual one). */
export interface Options {
  device: Device | "auto";
  name?: string;
  file?: File;
}

/** What an ONNX file says about itself. */
export interface Metadata {
  /** Names by output. */
  classes: string[];
  /** The probability from which on the model is sure; 0: always. */
  threshold: number;
  /** Scores by split. */
  metrics: { test?: { n: number; accuracy: number; macro_f1: number } };
  /** SHA-256 of what it was made from. */
  hashes: { data?: string; params?: string; code?: string };
  /** The nodes that resize. */
  resizing: string[];
}

/** A loaded model, as the worker tells of it. */
export interface Model extends Metadata {
  device: Device;
  threads: number;
  /** Of the file. */
  name: string;
  /** False: it was opened from disk. */
  served: boolean;
  megabytes: number;
  /** The next visit has it. */
  kept: boolean;
  /** WebGPU was tried first and failed. */
  gpuFailed?: boolean;
}

/** The answer to a picture. */
export interface Outcome {
  /** By class. */
  probabilities: Float32Array;
  thumbnail: Blob;
  /** Width and height in the file. */
  original: number[];
  /** Width and height that the model looked at. */
  size: number[];
  milliseconds: { decode: number; run: number };
}
