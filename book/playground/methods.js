// The four methods, each a learner with the same few hooks: `begin` a task, `step` on a batch, `end` the task, and
// `outputs`, the logits that it answers with. The loss is the mean cross-entropy over the batch, the optimiser Adam.
//
// A setting says how many `tasks` there are, of how many `classes`, with how many `inputs`, how wide the target's `hidden`
// layers are, and the `scenario`: in cl1 the task is told at test time too, and a network has one head for each task; in
// cl2 it is not told, and all tasks share one head (van de Ven & Tolias 2019). Examples are x [n, inputs], y [n] labels
// and t [n] tasks. What draws at random takes its numbers from `random`.
(function (hl) {
  /** One network, trained on each task in turn, with nothing against forgetting. Adam's state is kept. */
  class Finetune {
    constructor(setting, config, random) {
      Object.assign(this, { setting, config, random });
      const heads = setting.scenario === "cl1" ? setting.tasks : 1;
      this.net = new hl.MLP([setting.inputs, ...setting.hidden, heads * setting.classes]);
      this.theta = this.net.initial(random);
      this.optimizer = new hl.Adam(this.theta.length, config.rate);
    }

    begin() {}

    step(batch) {
      const gradient = new Float64Array(this.theta.length);
      this.addGradient(batch, gradient);
      this.optimizer.step(this.theta, gradient);
    }

    end() {}

    /** Adds the gradient of `weight` times the mean loss of the examples to `total` [N]. */
    addGradient(examples, total, weight = 1) {
      const rows = examples.y.length;
      const activations = this.net.forward(this.theta, examples.x, rows);
      const gradient = this.logitGradient(activations, examples.y, examples.t);
      gradient.forEach((value, i) => (gradient[i] = (value * weight) / rows));
      this.net.backward(this.theta, activations, gradient, rows, total);
    }

    /** The gradient of each example's loss by the network's outputs. */
    logitGradient(activations, labels, tasks) {
      const firsts = Array.from(tasks, (task) => this.first(task));
      const outputs = this.net.sizes.at(-1);
      return hl.crossEntropyGradient(activations.at(-1), labels, firsts, labels.length, outputs, this.setting.classes);
    }

    /** The first output of the head of `task`. */
    first(task) {
      return this.setting.scenario === "cl1" ? task * this.setting.classes : 0;
    }

    /** Logits [n, classes] for x [n, inputs], by the head of `task`. */
    outputs(x, task) {
      const { inputs, classes } = this.setting;
      const [rows, width] = [x.length / inputs, this.net.sizes.at(-1)];
      const all = this.net.logits(this.theta, x, rows);
      if (width === classes) return all;
      const own = new Float64Array(rows * classes);
      for (let r = 0; r < rows; r++) {
        const first = r * width + this.first(task);
        own.set(all.subarray(first, first + classes), r * classes);
      }
      return own;
    }

    /** How many numbers are trained, kept for old tasks, and held beside that while a task is learnt. */
    sizes() {
      return { trained: this.theta.length, kept: 0, held: 0 };
    }
  }

  /**
   * Elastic weight consolidation (Kirkpatrick et al. 2017, equation 3, one term a task):
   *
   *   lambda / 2 sum_{t<T} sum_i F_{t,i} (theta_i - theta*_{t,i})^2
   *
   * F_t is the diagonal Fisher information over all examples of task t, each gradient squared before the mean (Chandra et
   * al. 2022, equation 4), by the labels that the network predicts, as hyperlearn.methods.ewc takes it by default.
   */
  class EWC extends Finetune {
    constructor(setting, config, random) {
      super(setting, config, random);
      // The terms of all tasks are one quadratic, sum_i W_i (theta_i - m_i)^2 and a constant, as in
      // hyperlearn.quadratic.QuadraticPenalty: W = sum_t F_t, m = sum_t F_t theta*_t / W.
      this.weight = new Float64Array(this.theta.length); // W
      this.center = new Float64Array(this.theta.length); // m
      this.ended = 0;
    }

    step(batch) {
      const gradient = new Float64Array(this.theta.length);
      this.addGradient(batch, gradient);
      const { theta, weight, center } = this;
      for (let i = 0; i < theta.length; i++) gradient[i] += this.config.lambda * weight[i] * (theta[i] - center[i]);
      this.optimizer.step(theta, gradient);
    }

    end(task, examples) {
      const { theta, weight, center } = this;
      const fisher = this.fisher(examples);
      for (let i = 0; i < theta.length; i++) {
        weight[i] += fisher[i];
        center[i] += (weight[i] > 0 ? fisher[i] / weight[i] : 1) * (theta[i] - center[i]);
      }
      this.ended += 1;
    }

    /** F [N]: the mean over the examples of the squared gradient of each one's loss. */
    fisher(examples) {
      const rows = examples.y.length;
      const activations = this.net.forward(this.theta, examples.x, rows);
      const predicted = hl.largest(this.outputs(examples.x, examples.t[0]), this.setting.classes);
      const gradient = this.logitGradient(activations, predicted, examples.t);
      const total = new Float64Array(this.theta.length);
      this.net.backward(this.theta, activations, gradient, rows, total, true);
      return total.map((value) => value / rows);
    }

    sizes() {
      return { trained: this.theta.length, kept: this.ended ? 2 * this.theta.length : 0, held: 0 };
    }
  }

  /**
   * Rehearsal (Robins 1995): `kept` random examples of each old task stay. With M all of them, a step of task t > 1
   * minimises L_t / 2 + L_M / 2, the latter over a batch that is drawn from M.
   */
  class Replay extends Finetune {
    constructor(setting, config, random) {
      super(setting, config, random);
      this.memory = { x: new Float64Array(0), y: [], t: [] };
    }

    step(batch) {
      const gradient = new Float64Array(this.theta.length);
      const there = this.memory.y.length;
      this.addGradient(batch, gradient, there ? 0.5 : 1);
      if (there) {
        const rows = this.random.integers(there, batch.y.length);
        this.addGradient(hl.take(this.memory, rows, this.setting.inputs), gradient, 0.5);
      }
      this.optimizer.step(this.theta, gradient);
    }

    end(task, examples) {
      const rows = this.random.permutation(examples.y.length).slice(0, this.config.kept);
      const chosen = hl.take(examples, rows, this.setting.inputs);
      const x = new Float64Array(this.memory.x.length + chosen.x.length);
      x.set(this.memory.x);
      x.set(chosen.x, this.memory.x.length);
      this.memory = { x, y: [...this.memory.y, ...chosen.y], t: [...this.memory.t, ...chosen.t] };
    }

    sizes() {
      return { trained: this.theta.length, kept: this.memory.y.length * (this.setting.inputs + 1), held: 0 };
    }
  }

  /**
   * HNET (von Oswald et al. 2020): a chunked hypernetwork writes the target for each task; the output regulariser holds
   * what it writes for old tasks. Each task starts with a fresh Adam. In cl2 the task is the one whose network is surest.
   */
  class Hypernet {
    constructor(setting, config, random) {
      Object.assign(this, { setting, config });
      const { tasks, inputs, hidden, classes } = setting;
      this.target = new hl.MLP([inputs, ...hidden, classes]);
      this.hypernet = new hl.ChunkedHypernet({
        numel: this.target.numel,
        tasks,
        chunkSize: Math.min(config.chunk, this.target.numel),
        taskDim: config.taskDim,
        chunkDim: config.chunkDim,
        hidden: config.hidden,
      });
      this.theta = this.hypernet.initial(random);
      this.regularizer = new hl.OutputRegularizer(config.beta);
      this.ended = 0;
      this.written = null; // what it writes for all tasks at its present weights, made when it is asked for
    }

    begin() {
      this.optimizer = new hl.Adam(this.theta.length, this.config.rate);
    }

    step(batch) {
      const rows = batch.y.length;
      const { activations, targets } = this.hypernet.write(this.theta, this.ended + 1);
      const target = targets.at(-1);
      const inner = this.target.forward(target, batch.x, rows);
      const classes = this.setting.classes;
      const gradient = hl.crossEntropyGradient(inner.at(-1), batch.y, Array(rows).fill(0), rows, classes, classes);
      gradient.forEach((value, i) => (gradient[i] = value / rows));
      const byTarget = new Float64Array(this.target.numel);
      this.target.backward(target, inner, gradient, rows, byTarget);
      const byTargets = [...this.regularizer.gradients(targets), byTarget];
      this.optimizer.step(this.theta, this.hypernet.backward(this.theta, activations, byTargets));
      this.written = null;
    }

    end() {
      this.ended += 1;
      this.regularizer.remember(this.hypernet.write(this.theta, this.ended).targets);
    }

    /** The parameters [N] that it writes for `task`. */
    parameters(task) {
      this.written ??= this.hypernet.write(this.theta, this.setting.tasks).targets;
      return this.written[task];
    }

    outputs(x, task) {
      const { inputs, classes, scenario, tasks } = this.setting;
      const rows = x.length / inputs;
      const by = (t) => this.target.logits(this.parameters(t), x, rows);
      if (scenario === "cl1") return by(task);
      const seen = Array.from({ length: Math.min(this.ended + 1, tasks) }, (_, t) => by(t));
      return hl.surest(seen, rows, classes);
    }

    /** Kept are the embeddings of old tasks, which are among the trained; held is what the regulariser compares with. */
    sizes() {
      const { numel, taskDim, written } = this.hypernet;
      return { trained: numel, kept: this.ended * taskDim, held: this.ended * written };
    }
  }

  /** The examples at `rows`. */
  function take(examples, rows, inputs) {
    const x = new Float64Array(rows.length * inputs);
    rows.forEach((row, i) => x.set(examples.x.subarray(row * inputs, (row + 1) * inputs), i * inputs));
    return { x, y: rows.map((row) => examples.y[row]), t: rows.map((row) => examples.t[row]) };
  }

  /** The index of the largest logit of each row. */
  function largest(logits, classes) {
    const best = [];
    for (let first = 0; first < logits.length; first += classes) {
      let at = 0;
      for (let k = 1; k < classes; k++) if (logits[first + k] > logits[first + at]) at = k;
      best.push(at);
    }
    return best;
  }

  /** For each row the logits of the task whose prediction has the smallest entropy, -sum_k p_k log p_k. */
  function surest(ofTasks, rows, classes) {
    const chosen = new Float64Array(rows * classes);
    for (let first = 0; first < chosen.length; first += classes) {
      let smallest = Infinity;
      for (const logits of ofTasks) {
        const entropy = -hl.softmax(logits, first, classes).reduce((sum, p) => sum + p * Math.log(p + 1e-300), 0);
        if (entropy < smallest) {
          smallest = entropy;
          chosen.set(logits.subarray(first, first + classes), first);
        }
      }
    }
    return chosen;
  }

  Object.assign(hl, { EWC, Finetune, Hypernet, Replay, largest, surest, take });
})((globalThis.hyperlearn ??= {}));
