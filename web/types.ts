/** Types that several modules of the page share. Only tsc reads this file; it is not served. */

import type { Classifier } from "./classifier.mjs";
import type { PageError } from "./errors.mjs";

export type Language = "en" | "ru";
/** With several plural forms, or without. */
export type Sentence = string | ({ other: string } & Partial<Record<Intl.LDMLPluralRule, string>>);
export type Sentences = Record<string, Sentence>;

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
  /** What a person said of a file that does not say it itself. */
  form?: Form;
}

/** How pictures become what a model takes, and what its outputs mean. */
export interface Form {
  /** Of what the model takes; null: as large as the picture is. */
  width: number | null;
  height: number | null;
  /** By channel, of pixels from 0 to 1; of a model that takes floats. */
  mean: number[];
  std: number[];
  /** Names by output; none: they are numbered. */
  classes: string[];
}

/** The one picture that a model takes. */
export interface Input {
  name: string;
  type: "uint8" | "float32";
  layout: "NCHW" | "NHWC";
  channels: 1 | 3;
  /** null: any. */
  width: number | null;
  height: number | null;
}

/** In place of a model: its file does not say all that the page must know. */
export interface Question {
  asks: Input;
  /** What the file names, if it does. */
  classes: string[];
}

/** What an ONNX file says about itself. */
export interface Metadata {
  /** Names by output; none: it does not say. */
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

/** How far a picture is moved, in parts of its width and height. */
export interface Shift {
  x: number;
  y: number;
}

/** What the model says of a picture. */
export interface Outcome {
  /** By class. */
  probabilities: Float32Array;
  thumbnail: Blob;
  /** What was looked at, if that is not the file as it is. */
  moved?: Blob;
  /** Width and height in the file. */
  original: number[];
  /** Width and height that the model looked at. */
  size: number[];
  milliseconds: { decode: number; run: number };
}

export interface Answer {
  outcome?: Outcome;
  error?: PageError;
}

/** A picture that a person chose. */
export interface Entry {
  file: File;
  name: string;
}

/** What to tell a person; `again` offers to load the model once more. */
export interface Message {
  key: string;
  values?: Values;
  again?: boolean;
}

/** What a person did: Undo brings the last one back. */
export interface Done {
  /** What was loaded. */
  wanted: Options;
  entries: Entry[];
  /** The one that is shown. */
  current: Entry | null;
  /** Of the current one. */
  shift: Shift | null;
  /** Classes. */
  watched: string[];
  /** The watched ones share 100 %. */
  among: boolean;
  /** Pictures that Random draws from. */
  folder: File[];
}

/** All that the page shows. */
export interface State extends Done {
  /** Before each action. */
  past: Done[];
  language: Language;
  classifier: Classifier | null;
  /** The one that is loading. */
  coming: Classifier | null;
  /** What to try again. */
  tried: Options;
  /** What the classifier says of itself. */
  model: Model | null;
  /** Of the download. */
  loading: Progress | null;
  message: Message | null;
  answers: Map<Entry, Answer>;
  /** The answer to the current one, moved. */
  moved: { shift: Shift; answer: Answer } | null;
  /** Asked for since the list was last done. */
  asked: Entry[];
  /** What a screen reader hears of. */
  told: Entry[];
  /** Show each picture as its answer comes. */
  follow: boolean;
  /** Classes by path, of pictures that are served with the page. */
  samples: Record<string, string>;
  /** The search among the classes. */
  filter: string;
  /** Of a shift, in percent. */
  step: number;
}
