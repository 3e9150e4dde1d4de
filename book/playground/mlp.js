// A fully connected network with ReLU between its layers, as hyperlearn.nets.MLP. It holds shapes alone; its parameters
// are one vector theta that is given with each call: weight and bias of the first layer, of the second, and so on. A
// target network can so be called with what a hypernetwork wrote.
(function (hl) {
  class MLP {
    constructor(sizes) {
      this.sizes = sizes;
      this.layers = [];
      let offset = 0;
      for (let i = 0; i + 1 < sizes.length; i++) {
        const [inputs, outputs] = [sizes[i], sizes[i + 1]];
        this.layers.push({ inputs, outputs, weight: offset, bias: offset + inputs * outputs });
        offset += (inputs + 1) * outputs;
      }
      this.numel = offset; // N
    }

    /** Views of one layer's weight [outputs, inputs] and bias [outputs] in a vector like theta. */
    views(theta, { inputs, outputs, weight, bias }) {
      return [theta.subarray(weight, weight + inputs * outputs), theta.subarray(bias, bias + outputs)];
    }

    /** What goes into each layer, and what comes out of the last: x [rows, inputs], ..., logits [rows, outputs]. */
    forward(theta, x, rows) {
      const activations = [x];
      for (const layer of this.layers) {
        const [weight, bias] = this.views(theta, layer);
        const y = hl.affine(activations.at(-1), weight, bias, rows, layer.inputs, layer.outputs);
        if (layer !== this.layers.at(-1)) for (let i = 0; i < y.length; i++) if (y[i] < 0) y[i] = 0;
        activations.push(y);
      }
      return activations;
    }

    logits(theta, x, rows) {
      return this.forward(theta, x, rows).at(-1);
    }

    /**
     * Adds the gradient by theta to `total` [N], and returns that by x [rows, inputs].
     *
     * `gradient` [rows, outputs] is that by the logits. With `squares` each row's gradient is squared before the sum
     * over rows: row j's gradient by a layer's weight is the outer product g_j a_j^T of what comes back to the layer and
     * what went into it, so that the sum of its squares is the matrix product of the squares of both.
     */
    backward(theta, activations, gradient, rows, total, squares = false) {
      for (let number = this.layers.length - 1; number >= 0; number--) {
        const layer = this.layers[number];
        const { inputs, outputs } = layer;
        const [g, a] = squares ? [square(gradient), square(activations[number])] : [gradient, activations[number]];
        hl.addOuter(g, a, rows, inputs, outputs, ...this.views(total, layer));
        gradient = hl.returned(gradient, this.views(theta, layer)[0], rows, inputs, outputs);
        if (number > 0) for (let i = 0; i < gradient.length; i++) if (activations[number][i] <= 0) gradient[i] = 0;
      }
      return gradient;
    }

    /** Xavier-uniform weights (Glorot & Bengio 2010) and zero biases. */
    initial(random) {
      const theta = new Float64Array(this.numel);
      for (const layer of this.layers) {
        const bound = Math.sqrt(6 / (layer.inputs + layer.outputs));
        const [weight] = this.views(theta, layer);
        weight.forEach((_, i) => (weight[i] = random.between(-bound, bound)));
      }
      return theta;
    }
  }

  function square(values) {
    return values.map((value) => value * value);
  }

  Object.assign(hl, { MLP });
})((globalThis.hyperlearn ??= {}));
