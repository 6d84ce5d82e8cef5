/** A small network of dense layers, with its gradients written out: it tells two classes of points apart. */

/** @typedef {{inputs: number[], label: 0 | 1}} Point */
/** @typedef {{weights: number[][], biases: number[]}} Layer - a row of weights for each of its neurons */

/** @param {number} x */
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/**
 * What a neuron makes of its sum, and the slope there, told from what it made.
 *
 * @type {Record<string, {of: (sum: number) => number, slope: (output: number) => number}>}
 */
export const ACTIVATIONS = {
  tanh: { of: Math.tanh, slope: (output) => 1 - output * output },
  relu: { of: (sum) => Math.max(0, sum), slope: (output) => (output > 0 ? 1 : 0) },
  leaky_relu: { of: (sum) => (sum > 0 ? sum : 0.01 * sum), slope: (output) => (output > 0 ? 1 : 0.01) },
  sigmoid: { of: sigmoid, slope: (output) => output * (1 - output) },
  linear: { of: (sum) => sum, slope: () => 1 },
};

const BATCH = 10; // points of a step

export class Network {
  /**
   * @param {number[]} widths - inputs, then the neurons of each hidden layer
   * @param {string} activation - of the hidden layers
   */
  constructor(widths, activation) {
    this.activation = ACTIVATIONS[activation];
    /** @type {Layer[]} */
    this.layers = [...widths.slice(1), 1].map((outputs, n) => {
      const limit = Math.sqrt(6 / (widths[n] + outputs)); // Glorot and Bengio, 2010
      const row = () => Array.from({ length: widths[n] }, () => limit * (2 * Math.random() - 1));
      return { weights: Array.from({ length: outputs }, row), biases: Array(outputs).fill(0) };
    });
  }

  /**
   * The inputs, and what each layer makes of those before it; the last one gives a logit.
   *
   * @param {number[]} inputs
   */
  forward(inputs) {
    const outputs = [inputs];
    for (const { weights, biases } of this.layers) {
      const before = outputs[outputs.length - 1];
      const sums = weights.map((row, j) => row.reduce((sum, weight, i) => sum + weight * before[i], biases[j]));
      outputs.push(outputs.length < this.layers.length ? sums.map(this.activation.of) : sums);
    }
    return outputs;
  }

  /**
   * How probable class 1 is.
   *
   * @param {number[]} inputs
   */
  probability(inputs) {
    return sigmoid(this.forward(inputs)[this.layers.length][0]);
  }

  /**
   * One step of gradient descent on the cross-entropy; returns its sum over the batch, before the step.
   *
   * @param {Point[]} batch
   * @param {number} rate
   */
  step(batch, rate) {
    let loss = 0;
    const gradients = this.layers.map(({ weights, biases }) => ({
      weights: weights.map((row) => row.map(() => 0)),
      biases: biases.map(() => 0),
    }));
    for (const { inputs, label } of batch) {
      const outputs = this.forward(inputs);
      const logit = outputs[this.layers.length][0];
      loss += Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit))) - label * logit;
      let errors = [sigmoid(logit) - label]; // of the loss by the sums of a layer, the last one first
      for (let n = this.layers.length - 1; n >= 0; n--) {
        const [before, { weights }, gradient] = [outputs[n], this.layers[n], gradients[n]];
        errors.forEach((error, j) => {
          gradient.biases[j] += error;
          before.forEach((output, i) => (gradient.weights[j][i] += error * output));
        });
        const back = (/** @type {number} */ i) => errors.reduce((sum, error, j) => sum + error * weights[j][i], 0);
        if (n) errors = before.map((output, i) => back(i) * this.activation.slope(output));
      }
    }
    const share = rate / batch.length;
    this.layers.forEach(({ weights, biases }, n) => {
      const gradient = gradients[n];
      weights.forEach((row, j) => row.forEach((_, i) => (row[i] -= share * gradient.weights[j][i])));
      biases.forEach((_, j) => (biases[j] -= share * gradient.biases[j]));
    });
    return loss;
  }

  /**
   * Steps through all points, in another order each time; returns their mean loss on the way.
   *
   * @param {Point[]} points
   * @param {number} rate
   */
  epoch(points, rate) {
    const drawn = points.map((point) => ({ point, place: Math.random() })).sort((a, b) => a.place - b.place);
    const order = drawn.map(({ point }) => point);
    let loss = 0;
    for (let n = 0; n < order.length; n += BATCH) loss += this.step(order.slice(n, n + BATCH), rate);
    return loss / (order.length || 1);
  }
}
