// Loads the playground's scripts as its page does, and computes what a test asks for in JSON on standard input:
// node answer.js SCRIPT ... < JSON
const { readFileSync } = require("node:fs");
const { runInThisContext } = require("node:vm");

process.argv.slice(2).forEach((path) => runInThisContext(readFileSync(path, "utf8"), { filename: path }));
const hl = globalThis.hyperlearn;
const given = JSON.parse(readFileSync(0, "utf8"));

const examples = ({ x, y, t }) => ({ x: Float64Array.from(x.flat()), y, t });

/** Trains a method from the weights and on the batches that are given. */
function train({ method, setting, config, theta, tasks, asked }) {
  const drawn = tasks.flatMap((task) => task.drawn); // what the method would draw at random, in its order
  const random = { normal: () => 0, between: () => 0, integers: () => drawn.shift(), permutation: () => drawn.shift() };
  const learner = new hl[method](setting, config, random);
  if (learner.theta.length !== theta.length) throw new Error(`${method} has ${learner.theta.length} parameters`);
  learner.theta.set(theta);
  const reached = tasks.map((task, number) => {
    learner.begin(number);
    task.batches.forEach((batch) => learner.step(examples(batch)));
    learner.end(number, examples(task.train));
    return Array.from(learner.theta);
  });
  const x = Float64Array.from(asked.flat());
  return { theta: reached, outputs: tasks.map((_, number) => Array.from(learner.outputs(x, number))) };
}

/** The whole run that an address asks for: each method's accuracy matrix. */
function run(address) {
  const run = new hl.Run(hl.readSettings(address));
  run.measure = () => {}; // for the curves, which are not asked for
  while (!run.finished) run.step();
  return Object.fromEntries(run.entries.map(({ name, matrix }) => [name, matrix]));
}

/** The tasks that an address asks for. */
function tasks(address) {
  const settings = hl.readSettings(address);
  const plain = ({ x, y, t }) => ({ x: Array.from(x), y, t });
  return hl.BENCHMARKS[settings.tasks].make(settings.seed).tasks.map(({ train, test }) => [plain(train), plain(test)]);
}

const settings = (address) => hl.readSettings(hl.writeSettings(hl.readSettings(address)));

console.log(JSON.stringify({ run, settings, tasks, train }[given.what](given.of)));
