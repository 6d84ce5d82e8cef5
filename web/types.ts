/** Types that several modules of the page share. Only tsc reads this file; it is not served. */

import type { Predictor } from "./predictor.mjs";
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
  /** As many as suit the machine, if not given. */
  threads?: number;
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

export type Task = "classification" | "detection" | "forecasting";

/** What an ONNX file says about itself. */
export interface Metadata {
  task: Task;
  /** Names by output; none: it does not say. */
  classes: string[];
  /** The probability from which on the model is sure; 0: always. */
  threshold: number;
  /** Scores by split. */
  metrics: { test?: Record<string, number> };
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
  /** Of a forecaster. */
  forecasting?: Forecasting;
}

/** The series that a forecaster goes on with. */
export interface Forecasting {
  columns: Columns;
  /** Values that it is given. */
  window: number;
  /** Values that it forecasts. */
  horizon: number;
  /** What its intervals promise, ascending: 0.8 is 80 %. */
  levels: number[];
}

/** What a CSV holds. */
export interface Columns {
  /** Names of columns. */
  time: string;
  value: string;
  /** As pandas names it. */
  frequency: string;
  /** As of strptime; none: ISO 8601. */
  time_format?: string | null;
}

type Runtime = typeof import("onnxruntime-web");
type Session = import("onnxruntime-web").InferenceSession;

/** What runs the models of a task, in the worker. */
export interface Runner {
  open(
    runtime: Runtime,
    session: Session,
    about: { metadata: Metadata; properties: Record<string, string>; form?: Form },
  ): Promise<Partial<Model> | Question>;
  answer(options: { file: File; shift?: Shift }): Promise<Outcome>;
}

/** How far a picture is moved, in parts of its width and height. */
export interface Shift {
  x: number;
  y: number;
}

/** What the model says of a picture, or of a series. */
export interface Outcome {
  thumbnail?: Blob;
  /** What was looked at, if that is not the file as it is. */
  moved?: Blob;
  milliseconds: { decode: number; run: number };
}

interface Looked extends Outcome {
  /** Width and height in the file. */
  original: number[];
  /** Width and height that the model looked at. */
  size: number[];
}

/** Of a classifier. */
export interface Named extends Looked {
  /** By class. */
  probabilities: Float32Array;
}

/** Of a detector. */
export interface Found extends Looked {
  /** The best first. */
  boxes: Box[];
}

export interface Box {
  /** Number of its class. */
  label: number;
  /** 0 to 1. */
  score: number;
  /** x1 y1 x2 y2 in pixels of the file. */
  corners: number[];
}

/** Of a forecaster. */
export interface Continued extends Outcome {
  coming: Step[];
  /** The newest of what is known. */
  known: Series;
  /** Of all that are known. */
  count: number;
}

export interface Step {
  /** In milliseconds, as of UTC. */
  time: number;
  value: number;
  /** Low and high by level. */
  intervals: number[][];
}

export interface Series {
  /** In milliseconds, as of UTC. */
  times: number[];
  /** NaN: there is none. */
  values: number[];
}

/** What the page does with the answers of a task's models. */
export interface Parts {
  /** It looks at pictures; if not, at series. */
  pictures: boolean;
  /** Fills what the page has for an answer. */
  draw(outcome: Outcome, model: Model, watched: string[], among: boolean): void;
  /** A row of the list; sure: the model commits itself. */
  row(outcome: Outcome, model: Model): { answer: string; figure: string; sure: boolean };
  /** For those who hear the page. */
  spoken(name: string, outcome: Outcome, model: Model): string;
  /** The head of the table to download; the first column is the file's name. */
  head(model: Model): string[];
  /** The lines of an answer in it, without that column. */
  lines(outcome: Outcome, model: Model): unknown[][];
}

export interface Answer {
  outcome?: Outcome;
  error?: PageError;
}

/** A picture, or a series, that a person chose. */
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
  predictor: Predictor | null;
  /** The one that is loading. */
  coming: Predictor | null;
  /** A person asked for it: Undo takes that back. */
  undoable: boolean;
  /** What to try again. */
  tried: Options;
  /** What the predictor says of its model. */
  model: Model | null;
  /** Of its task. */
  parts: Parts;
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
