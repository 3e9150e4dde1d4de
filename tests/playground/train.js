// Trains the playground's methods from the weights and on the batches that a test gives, and prints what they end with.
// node train.js FOLDER < JSON; the scripts that the page loads are in FOLDER, in the order that is given.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { runInThisContext } = require("node:vm");

const given = JSON.parse(readFileSync(0, "utf8"));
const load = (name) => runInThisContext(readFileSync(join(process.argv[2], name), "utf8"), { filename: name });
given.scripts.forEach(load);
const hl = globalThis.hyperlearn;

const examples = ({ x, y, t }) => ({ x: Float64Array.from(x.flat()), y, t });

function train({ method, setting, config, theta, tasks }) {
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
  const asked = Float64Array.from(given.asked.flat());
  return { theta: reached, outputs: tasks.map((_, number) => Array.from(learner.outputs(asked, number))) };
}

console.log(JSON.stringify(given.runs.map(train)));
