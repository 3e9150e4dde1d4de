// An LSTM hypernetwork, as hyperlearn/hypernets/lstm.py has it.

// The hidden states of an LSTM without biases, one for each input; gates in PyTorch's order: input, forget, cell, output.
function lstm(fromInput, fromHidden, inputs) {
  const sigmoid = (value) => 1 / (1 + Math.exp(-value));
  const size = Math.sqrt(fromHidden.length / 4);
  let hidden = new Float32Array(size);
  let cell = new Float32Array(size);
  return inputs.map((input) => {
    const gates = product(fromInput, input, product(fromHidden, hidden));
    const gate = (number, unit) => gates[number * size + unit];
    cell = cell.map((old, unit) => sigmoid(gate(1, unit)) * old + sigmoid(gate(0, unit)) * Math.tanh(gate(2, unit)));
    hidden = cell.map((value, unit) => sigmoid(gate(3, unit)) * Math.tanh(value));
    return hidden;
  });
}

// All parameters of the network of a task, written chunk by chunk; the last chunk is cut to fit.
function writeTask(numbers, task, count) {
  const at = (name) => numbers[name].values;
  const row = (name, number) => {
    const width = numbers[name].shape[1];
    return at(name).subarray(number * width, (number + 1) * width);
  };
  const embedding = row("task_embeddings", task);
  const chunks = numbers.chunk_embeddings.shape[0];
  const inputs = Array.from({ length: chunks }, (_, j) => Float32Array.of(...embedding, ...row("chunk_embeddings", j)));
  const flat = new Float32Array(count);
  let start = 0;
  for (const hidden of lstm(at("lstm.weight_ih_l0"), at("lstm.weight_hh_l0"), inputs)) {
    const chunk = product(at("head.weight"), hidden);
    flat.set(chunk.subarray(0, count - start), start);
    start += chunk.length;
  }
  return flat;
}

// The networks of all tasks, one by one, with a pause for the page before each: then(flat) gets its parameters.
async function writeTasks(numbers, count, then) {
  for (let task = 0; task < numbers.task_embeddings.shape[0]; task++) {
    await new Promise((done) => setTimeout(done));
    then(writeTask(numbers, task, count));
  }
}
