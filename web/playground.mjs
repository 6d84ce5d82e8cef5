/** The playground: points that a person sets, and a network that learns to tell their classes apart. */

import { drawTexts, marked } from "./document.mjs";
import { language, number, percent, setLanguage, t, useLanguage } from "./i18n.mjs";
import { Network } from "./network.mjs";

/** @import { Point } from "./network.mjs" */
/** @import { Language } from "./types.ts" */

/** @param {string} id */
const $ = (id) => /** @type {any} */ (document.getElementById(id));

const COUNT = 200; // points of a set
const EPOCHS = 2; // of a frame: slow enough to be watched
const GRID = 48; // places a side at which the network is asked for the background
const MOVE = 0.05; // of an arrow key; the plane reaches from -1 to 1
const TOLD = 2000; // milliseconds from one spoken report to the next
const COLOURS = ["232 116 20", "38 100 200"];
/** @type {Record<string, number[]>} */
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

const plane = /** @type {HTMLCanvasElement} */ ($("plane"));
const context = /** @type {CanvasRenderingContext2D} */ (plane.getContext("2d"));

/** @type {Point[]} */
let points = [];
let network = made();
let epoch = 0;
let loss = NaN;
let running = false;
let toldAt = 0;
const cross = [0, 0]; // where the keyboard is

const between = (/** @type {number} */ low, /** @type {number} */ high) => low + (high - low) * Math.random();
const polar = (/** @type {number} */ r, /** @type {number} */ angle) => [r * Math.cos(angle), r * Math.sin(angle)];

/**
 * Draws where a point of a class is, in each set.
 *
 * @type {Record<string, (label: number) => number[]>}
 */
const SETS = {
  circle: (label) => polar(label ? between(0, 0.4) : between(0.6, 0.95), between(0, 2 * Math.PI)),
  halves: (label) => [(2 * label - 1) * between(0.08, 0.95), between(-0.95, 0.95)],
  xor: (label) => {
    const side = Math.random() < 0.5 ? -1 : 1;
    return [side * between(0.08, 0.95), side * (2 * label - 1) * between(0.08, 0.95)];
  },
  spirals: (label) => {
    const radius = between(0.1, 0.95);
    return polar(radius, 8 * radius + label * Math.PI);
  },
};

function made() {
  return new Network([2, ...Array(Number($("layers").value)).fill(Number($("neurons").value))], $("activation").value);
}

function restart() {
  [network, epoch, loss, toldAt] = [made(), 0, NaN, 0];
  draw();
}

function fill() {
  const place = SETS[$("set").value];
  const labels = Array.from({ length: $("set").value in SETS ? COUNT : 0 }, (_, n) => /** @type {0 | 1} */ (n % 2));
  points = labels.map((label) => ({ inputs: place(label), label }));
  restart();
}

function train() {
  loss = network.epoch(points, Number($("rate").value));
  epoch += 1;
  if (!Number.isFinite(loss)) run(false);
}

/** @param {boolean} wanted */
function run(wanted) {
  if (wanted && !running) requestAnimationFrame(frame);
  [running, toldAt] = [wanted, 0];
  $("learn").dataset.t = running ? "play.pause" : "play.learn";
  $("learn").textContent = t($("learn").dataset.t);
}

function frame() {
  for (let n = 0; n < EPOCHS && running; n++) train();
  draw();
  if (running) requestAnimationFrame(frame);
}

/** How far it is. */
function sentence() {
  if (new Set(points.map(({ label }) => label)).size < 2) return t("play.both");
  if (!epoch) return t("play.new", { n: points.length });
  if (!Number.isFinite(loss)) return t("play.diverged", { epoch });
  const right = points.filter(({ inputs, label }) => Math.round(network.probability(inputs)) === label).length;
  return t("play.state", { epoch, right, n: points.length, loss: number(loss, 4) });
}

/** @param {number[]} place */
const pixel = ([x, y]) => [((x + 1) * plane.width) / 2, ((1 - y) * plane.height) / 2];

function draw() {
  context.fillStyle = "#fff";
  context.fillRect(0, 0, plane.width, plane.height);
  const side = plane.width / GRID;
  for (let n = 0; n < GRID * GRID; n++) {
    const [column, row] = [n % GRID, Math.floor(n / GRID)];
    const probability = network.probability([(2 * column + 1) / GRID - 1, 1 - (2 * row + 1) / GRID]);
    context.fillStyle = `rgb(${COLOURS[Math.round(probability)]} / ${Math.abs(probability - 0.5)})`;
    context.fillRect(column * side, row * side, side, side);
  }
  for (const { inputs, label } of points) {
    const [x, y] = pixel(inputs);
    context.beginPath();
    if (label) context.rect(x - 5, y - 5, 10, 10);
    else context.arc(x, y, 5.5, 0, 2 * Math.PI);
    context.fillStyle = `rgb(${COLOURS[label]})`;
    context.fill();
    context.strokeStyle = "#fff";
    context.stroke();
  }
  if (document.activeElement === plane) {
    const [x, y] = pixel(cross);
    context.strokeStyle = "#000";
    context.strokeRect(x - 9, y, 18, 0);
    context.strokeRect(x, y - 9, 0, 18);
  }
  $("state").textContent = sentence();
  if (!toldAt || (running && performance.now() - toldAt > TOLD)) tell(sentence());
}

/** @param {string} text - for screen readers */
function tell(text) {
  $("told").textContent = text;
  toldAt = performance.now();
}

/** @param {number[]} place - of a new point, or near one that goes */
function put(place) {
  const brush = /** @type {HTMLInputElement} */ (document.querySelector("[name=brush]:checked")).value;
  const far = (/** @type {Point} */ { inputs: [x, y] }) => Math.hypot(x - place[0], y - place[1]);
  if (brush === "remove") points = points.sort((a, b) => far(a) - far(b)).slice(1);
  else points.push({ inputs: [...place], label: brush === "1" ? 1 : 0 });
  draw();
  tell(t("play.count", { n: points.length }));
}

/** @param {KeyboardEvent} event */
function press(event) {
  const move = MOVES[event.key];
  if (!move && event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault(); // the page does not scroll
  if (!move) return put(cross);
  for (const n of [0, 1]) cross[n] = Math.max(-1, Math.min(1, cross[n] + move[n] * MOVE));
  draw();
  const probability = network.probability(cross);
  const [x, y] = cross.map((value) => number(value, 2));
  const share = percent(Math.max(probability, 1 - probability));
  tell(t(probability < 0.5 ? "play.atOrange" : "play.atBlue", { x, y, share }));
}

plane.onclick = ({ offsetX, offsetY }) => {
  put([(2 * offsetX) / plane.clientWidth - 1, 1 - (2 * offsetY) / plane.clientHeight]);
};
plane.onkeydown = press;
plane.onfocus = plane.onblur = draw;
$("learn").onclick = () => run(!running);
$("step").onclick = () => {
  run(false);
  train();
  draw();
};
$("anew").onclick = $("layers").onchange = $("neurons").onchange = $("activation").onchange = restart;
$("set").onchange = fill;
for (const button of marked("language")) {
  button.onclick = async () => {
    await setLanguage(/** @type {Language} */ (button.dataset.language));
    drawTexts();
    draw();
  };
}
await useLanguage(language, "playground");
drawTexts();
fill();
