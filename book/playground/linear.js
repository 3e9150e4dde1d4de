// Matrix products with their gradients, and the loss. Matrices are Float64Arrays, row after row.
(function (hl) {
  /** y = x W^T + b: x [rows, inputs], W [outputs, inputs], b [outputs] to [rows, outputs]. */
  function affine(x, weight, bias, rows, inputs, outputs) {
    const y = new Float64Array(rows * outputs);
    for (let r = 0; r < rows; r++) {
      for (let o = 0; o < outputs; o++) {
        let sum = bias[o];
        for (let i = 0, w = o * inputs, a = r * inputs; i < inputs; i++) sum += weight[w + i] * x[a + i];
        y[r * outputs + o] = sum;
      }
    }
    return y;
  }

  /** What comes back through `affine` to its input: g W, with g [rows, outputs], to [rows, inputs]. */
  function returned(gradient, weight, rows, inputs, outputs) {
    const back = new Float64Array(rows * inputs);
    for (let r = 0; r < rows; r++) {
      for (let o = 0; o < outputs; o++) {
        const g = gradient[r * outputs + o];
        if (g === 0) continue;
        for (let i = 0, w = o * inputs, a = r * inputs; i < inputs; i++) back[a + i] += g * weight[w + i];
      }
    }
    return back;
  }

  /** Adds g^T x to `weight` [outputs, inputs], and the sum of g over its rows to `bias` [outputs]. */
  function addOuter(gradient, x, rows, inputs, outputs, weight, bias) {
    for (let r = 0; r < rows; r++) {
      for (let o = 0; o < outputs; o++) {
        const g = gradient[r * outputs + o];
        if (g === 0) continue;
        bias[o] += g;
        for (let i = 0, w = o * inputs, a = r * inputs; i < inputs; i++) weight[w + i] += g * x[a + i];
      }
    }
  }

  /** The probabilities of `classes` neighbouring logits, those from `first` on. */
  function softmax(logits, first, classes) {
    let most = -Infinity;
    for (let k = 0; k < classes; k++) most = Math.max(most, logits[first + k]);
    const p = new Float64Array(classes);
    let sum = 0;
    for (let k = 0; k < classes; k++) sum += p[k] = Math.exp(logits[first + k] - most);
    for (let k = 0; k < classes; k++) p[k] /= sum;
    return p;
  }

  /**
   * The gradient of each row's cross-entropy by its logits, p - onehot(y): [rows, outputs].
   *
   * Row r has its logits in the `classes` columns from firsts[r] on; the others get no gradient.
   */
  function crossEntropyGradient(logits, labels, firsts, rows, outputs, classes) {
    const gradient = new Float64Array(rows * outputs);
    for (let r = 0; r < rows; r++) {
      const first = r * outputs + firsts[r];
      gradient.set(softmax(logits, first, classes), first);
      gradient[first + labels[r]] -= 1;
    }
    return gradient;
  }

  Object.assign(hl, { addOuter, affine, crossEntropyGradient, returned, softmax });
})((globalThis.hyperlearn ??= {}));
