// A run: the chosen methods learn the same tasks side by side, on the same batches, and are measured meanwhile.
(function (hl) {
  const BATCH = 32;
  const MEASURED = 30; // times a task
  const EMBEDDINGS = { taskDim: 8, chunkDim: 8 }; // of the hypernetwork

  class Run {
    constructor(settings) {
      this.settings = settings;
      const { hidden, writer, make } = hl.BENCHMARKS[settings.tasks];
      this.benchmark = make(settings.seed);
      const { inputs, classes, tasks } = this.benchmark;
      const setting = { inputs, classes, hidden, tasks: tasks.length, scenario: settings.scenario };
      const config = { ...settings, ...EMBEDDINGS, hidden: writer };
      // Each method has random numbers of its own, so that it does the same whichever others are chosen.
      const names = Object.keys(hl.METHODS);
      this.entries = settings.method.map((name) => ({
        name,
        label: hl.METHODS[name].label,
        learner: new hl[hl.METHODS[name].make](setting, config, new hl.Random(1000 * settings.seed + names.indexOf(name))),
        curves: tasks.map(() => []), // of each task [steps, accuracy]
        matrix: [], // [T][T], a row for each task that was learnt
        now: [], // the accuracy on each task so far
      }));
      this.order = [];
      this.random = new hl.Random(1000 * settings.seed + names.length);
      this.task = 0; // the present one; as many as there are when all are learnt
      this.done = 0; // steps of the present task
      this.entries.forEach(({ learner }) => learner.begin(0));
      this.measure();
    }

    get finished() {
      return this.task === this.benchmark.tasks.length;
    }

    /** All steps so far. */
    get steps() {
      return this.task * this.settings.steps + this.done;
    }

    /** How many tasks are learnt or were begun; the first counts before its first step too. */
    get seen() {
      return Math.max(1, this.task + (this.done > 0 ? 1 : 0));
    }

    /** The next examples of the present task, which are shuffled anew for each pass. */
    batch() {
      const { train } = this.benchmark.tasks[this.task];
      while (this.order.length < BATCH) this.order.push(...this.random.permutation(train.y.length));
      return hl.take(train, this.order.splice(0, BATCH), this.benchmark.inputs);
    }

    step() {
      if (this.finished) return;
      const batch = this.batch();
      this.entries.forEach(({ learner }) => learner.step(batch));
      this.done += 1;
      const every = Math.max(1, Math.round(this.settings.steps / MEASURED));
      if (this.done === this.settings.steps) this.endTask();
      else if (this.done === 1 || this.done % every === 0) this.measure();
    }

    endTask() {
      const { tasks } = this.benchmark;
      for (const entry of this.entries) {
        entry.learner.end(this.task, tasks[this.task].train);
        entry.matrix.push(tasks.map((_, task) => this.accuracy(entry.learner, task)));
      }
      this.measure();
      this.task += 1;
      this.done = 0;
      this.order = [];
      if (!this.finished) this.entries.forEach(({ learner }) => learner.begin(this.task));
    }

    /** The fraction of the test examples of `task` that are answered right. */
    accuracy(learner, task) {
      const { x, y } = this.benchmark.tasks[task].test;
      const answers = hl.largest(learner.outputs(x, task), this.benchmark.classes);
      return answers.filter((answer, i) => answer === y[i]).length / y.length;
    }

    measure() {
      for (const entry of this.entries) {
        entry.now = Array.from({ length: this.seen }, (_, task) => this.accuracy(entry.learner, task));
        entry.now.forEach((accuracy, task) => entry.curves[task].push([this.steps, accuracy]));
      }
    }

    /** The mean accuracy of a method over the tasks so far. */
    mean(entry) {
      return entry.now.reduce((sum, value) => sum + value, 0) / entry.now.length;
    }
  }

  Object.assign(hl, { Run });
})((globalThis.hyperlearn ??= {}));
