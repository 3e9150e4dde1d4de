// The chunked hypernetwork (von Oswald et al. 2020, section 2.2) and its output regulariser, as
// hyperlearn.hypernets.ChunkedHypernet and hyperlearn.regularizers.OutputRegularizer.
(function (hl) {
  /**
   * Theta^t = [f_h(e_t, c_1), ..., f_h(e_t, c_n)]: one small network f_h writes the target chunk by chunk.
   *
   * Its own parameters are one vector theta: task embeddings e [tasks, taskDim], chunk embeddings c [n, chunkDim], and
   * the layers of f_h, the last of which is the head.
   */
  class ChunkedHypernet {
    constructor({ numel, tasks, chunkSize, taskDim, chunkDim, hidden }) {
      Object.assign(this, { written: numel, tasks, chunkSize, taskDim, chunkDim });
      this.chunks = Math.ceil(numel / chunkSize); // n_c
      this.layers = new hl.MLP([taskDim + chunkDim, ...hidden, chunkSize]); // f_h
      this.chunkOffset = tasks * taskDim;
      this.layerOffset = this.chunkOffset + this.chunks * chunkDim;
      this.numel = this.layerOffset + this.layers.numel;
    }

    /** Embeddings from N(0, 1), layers Xavier-uniform with zero biases. */
    initial(random) {
      const theta = new Float64Array(this.numel);
      for (let i = 0; i < this.layerOffset; i++) theta[i] = random.normal();
      theta.set(this.layers.initial(random), this.layerOffset);
      return theta;
    }

    /** All pairs <e_t, c_j> of the first `tasks` tasks: [tasks n_c, taskDim + chunkDim]. */
    pairs(theta, tasks) {
      const { taskDim, chunkDim, chunks, chunkOffset } = this;
      const width = taskDim + chunkDim;
      const rows = new Float64Array(tasks * chunks * width);
      for (let t = 0; t < tasks; t++) {
        for (let j = 0; j < chunks; j++) {
          const [row, c] = [(t * chunks + j) * width, chunkOffset + j * chunkDim];
          rows.set(theta.subarray(t * taskDim, (t + 1) * taskDim), row);
          rows.set(theta.subarray(c, c + chunkDim), row + taskDim);
        }
      }
      return rows;
    }

    /** Writes for the first `tasks` tasks: `targets`, one vector [N] each, and what `backward` needs. */
    write(theta, tasks) {
      const rows = tasks * this.chunks;
      const activations = this.layers.forward(theta.subarray(this.layerOffset), this.pairs(theta, tasks), rows);
      const stride = this.chunks * this.chunkSize; // the surplus of the last chunk is cut off
      const target = (t) => activations.at(-1).subarray(t * stride, t * stride + this.written);
      return { activations, targets: Array.from({ length: tasks }, (_, t) => target(t)) };
    }

    /**
     * The gradient by theta, given those by what was written, one vector [N] a task.
     *
     * It reaches the embedding of the last of these tasks, the present one, and no other: old ones are constants.
     */
    backward(theta, activations, gradients) {
      const { taskDim, chunkDim, chunks, chunkSize, chunkOffset, layerOffset } = this;
      const rows = gradients.length * chunks;
      const byChunks = new Float64Array(rows * chunkSize);
      gradients.forEach((gradient, t) => byChunks.set(gradient, t * chunks * chunkSize));
      const total = new Float64Array(this.numel);
      const layers = [theta.subarray(layerOffset), activations, byChunks, rows, total.subarray(layerOffset)];
      const byPairs = this.layers.backward(...layers);
      for (let row = 0; row < rows; row++) {
        const [t, j, start] = [Math.floor(row / chunks), row % chunks, row * (taskDim + chunkDim)];
        if (t === gradients.length - 1) {
          for (let i = 0; i < taskDim; i++) total[t * taskDim + i] += byPairs[start + i];
        }
        for (let i = 0; i < chunkDim; i++) total[chunkOffset + j * chunkDim + i] += byPairs[start + taskDim + i];
      }
      return total;
    }
  }

  /**
   * beta / (T - 1) sum_{t<T} || f_h(e_t, c, Theta_h*) - f_h(e_t, c, Theta_h) ||^2 (Chandra et al. 2022, equation 2).
   *
   * Theta_h* is the hypernetwork at the last `remember`; the penalty is taken at the present weights, not a step ahead.
   */
  class OutputRegularizer {
    constructor(beta) {
      this.beta = beta;
      this.remembered = []; // f_h(e_t, c, Theta_h*), one vector [N] for each old task
    }

    remember(targets) {
      this.remembered = targets.map((target) => target.slice());
    }

    /** By what is written for each old task, 2 beta / (T - 1) times how far it has moved. */
    gradients(targets) {
      const scale = (2 * this.beta) / this.remembered.length;
      return this.remembered.map((old, t) => old.map((value, i) => scale * (targets[t][i] - value)));
    }
  }

  Object.assign(hl, { ChunkedHypernet, OutputRegularizer });
})((globalThis.hyperlearn ??= {}));
