// Adam (Kingma & Ba 2015, algorithm 1), as torch.optim.Adam computes it.
(function (hl) {
  const [BETA_1, BETA_2, EPSILON] = [0.9, 0.999, 1e-8];

  class Adam {
    constructor(size, rate) {
      this.rate = rate;
      this.steps = 0;
      this.mean = new Float64Array(size); // m
      this.square = new Float64Array(size); // v
    }

    /** Moves `theta` [size] against `gradient` [size]. A value whose gradient was always 0 stays where it is. */
    step(theta, gradient) {
      this.steps += 1;
      const rate = this.rate / (1 - BETA_1 ** this.steps);
      const correction = Math.sqrt(1 - BETA_2 ** this.steps);
      const { mean, square } = this;
      for (let i = 0; i < theta.length; i++) {
        const g = gradient[i];
        mean[i] += (1 - BETA_1) * (g - mean[i]);
        square[i] = BETA_2 * square[i] + (1 - BETA_2) * g * g;
        theta[i] -= (rate * mean[i]) / (Math.sqrt(square[i]) / correction + EPSILON);
      }
    }
  }

  Object.assign(hl, { Adam });
})((globalThis.hyperlearn ??= {}));
