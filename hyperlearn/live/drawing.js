// Draw a digit: all networks that a hypernetwork wrote look at it, and the one that is in least doubt is believed.

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

// In nats, from logits, by way of the logarithms: no probability is rounded to zero.
function entropy(logits) {
  const most = Math.max(...logits);
  const sum = logits.reduce((total, value) => total + Math.exp(value - most), 0);
  return -logits.reduce((total, value) => {
    const log = value - most - Math.log1p(sum - 1);
    return total + Math.exp(log) * log;
  }, 0);
}

// Distance from a point to the line between two others.
function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = dx || dy ? clamp(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1) : 0;
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}

// Strokes, lists of points, as side x side pixels from 0 to 1, with soft edges.
function inked(strokes, side, radius) {
  const pixels = new Float32Array(side * side);
  for (const points of strokes)
    points.forEach((point, i) => {
      const before = points[Math.max(0, i - 1)];
      const reach = (axis, end) => end(before[axis], point[axis]);
      const low = (axis) => clamp(Math.floor(reach(axis, Math.min) - radius - 1), 0, side - 1);
      const high = (axis) => clamp(Math.ceil(reach(axis, Math.max) + radius + 1), 0, side - 1);
      for (let y = low(1); y <= high(1); y++)
        for (let x = low(0); x <= high(0); x++) {
          const ink = clamp(radius + 0.5 - distance([x + 0.5, y + 0.5], before, point), 0, 1);
          pixels[y * side + x] = Math.max(pixels[y * side + x], ink);
        }
    });
  return pixels;
}

// As MNIST was made: the drawing is scaled into a box, keeping its proportions, and its centre of mass goes to the middle.
// A small drawing is not blown up beyond fourfold.
function normalized(strokes, side, box) {
  const radius = 0.55 + side / 40; // of a pen as wide as in MNIST, 28 pixels, and in scikit-learn's digits, 8 pixels
  const points = strokes.flat();
  const ends = [0, 1].map((axis) => points.map((point) => point[axis]));
  const [low, high] = [Math.min, Math.max].map((end) => ends.map((values) => end(...values)));
  const scale = (box - 2 * radius) / Math.max(high[0] - low[0], high[1] - low[1], 0.25);
  const moved = (to) =>
    strokes.map((line) => line.map((point) => point.map((value, i) => (value - (low[i] + high[i]) / 2) * scale + to[i])));
  const middle = [side / 2, side / 2];
  const pixels = inked(moved(middle), side, radius);
  const mass = pixels.reduce((a, b) => a + b, 0);
  const centre = [0, 0];
  pixels.forEach((ink, i) => {
    centre[0] += (ink * ((i % side) + 0.5)) / mass;
    centre[1] += (ink * (Math.floor(i / side) + 0.5)) / mass;
  });
  return inked(moved(middle.map((value, i) => 2 * value - centre[i])), side, radius);
}

// An entropy as text: 0.42, 3·10⁻⁷.
function readable(value) {
  if (value >= 0.01) return value.toFixed(2);
  if (value === 0) return "0";
  const [digit, power] = value.toExponential(0).split("e-");
  return `${digit}·10⁻${[...power].map((figure) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[figure]).join("")}`;
}

// Where an entropy of two labels stands on a logarithmic scale, from 0 at 10 to the power of lowest to 1 at its largest.
function placeOf(value, lowest) {
  const most = Math.log10(Math.LN2);
  return clamp((Math.log10(value) - lowest) / (most - lowest), 0, 1);
}

// What is no digit, drawn in a square from 0 to 1.
function face() {
  const arc = (x, y, r, from, to) =>
    Array.from({ length: 25 }, (_, i) => {
      const angle = from + ((to - from) * i) / 24;
      return [x + r * Math.cos(angle), y + r * Math.sin(angle)];
    });
  return [arc(0.5, 0.5, 0.36, 0, 2 * Math.PI), [[0.38, 0.42]], [[0.62, 0.42]], arc(0.5, 0.52, 0.18, 0.4, Math.PI - 0.4)];
}
const letter = () => [
  [
    [0.22, 0.84],
    [0.5, 0.14],
    [0.78, 0.84],
  ],
  [
    [0.33, 0.6],
    [0.67, 0.6],
  ],
];

function drawing(stage, { names, classes, colors, shapes, side, box, lowest, first }, numbers, figure) {
  const count = shapes.reduce((total, shape) => total + shape.reduce((a, b) => a * b, 1), 0);
  const size = side * side;
  const examples = Array.from(numbers.labels.values, (digit, i) => ({
    digit: classes.flat()[digit],
    task: Math.floor(digit / 2),
    pixels: Float32Array.from(numbers.images.values.subarray(i * size, (i + 1) * size), (value) => value / 255),
  }));
  const networks = []; // filled one by one, as they are written
  let strokes = [];
  let shown = examples[first]; // {pixels, digit, task} of an example, {pixels, what} of what is none, or null: nothing yet

  /* What there is to see. */
  const ink = make("canvas", { role: "img", "aria-label": "The drawing" });
  const hint = make("span", { class: "hl-hint", "aria-hidden": "true" }, "draw here");
  const pad = make("div", { class: "hl-pad" }, ink, hint);
  const seen = make("canvas", { role: "img", "aria-label": "The image that the networks get" });
  const clear = make("button", { class: "hl-button", type: "button" }, "clear");
  const below = make("div", { class: "hl-seen" }, seen, make("span", {}, "as the networks get it"), clear);
  const hand = make("div", { class: "hl-hand" }, make("p", { class: "hl-head" }, "draw a digit"), pad, below);

  const thumbs = examples.map((example) => {
    const canvas = make("canvas", { "aria-hidden": "true" });
    const label = `The test digit ${example.digit}`;
    const button = make("button", { class: "hl-thumb", type: "button", "aria-label": label }, canvas);
    button.addEventListener("click", () => show(example));
    return { button, canvas, example };
  });
  const noise = () => {
    let state = 7; // the same noise each time
    return Float32Array.from({ length: size }, () => (state = (state * 48271) % 2147483647) / 2147483647);
  };
  const others = Object.entries({
    "a face": () => normalized(face(), side, box),
    "a letter": () => normalized(letter(), side, box),
    noise,
  }).map(([what, pixels]) => {
    const button = make("button", { class: "hl-button", type: "button" }, what);
    button.addEventListener("click", () => show({ what, pixels: pixels() }));
    return button;
  });
  const choice = make("div", { class: "hl-choice" }, make("p", { class: "hl-head" }, "or take a test digit"));
  choice.append(make("div", { class: "hl-thumbs" }, ...thumbs.map(({ button }) => button)));
  choice.append(make("p", { class: "hl-head" }, "or what is no digit"), make("div", { class: "hl-others" }, ...others));

  const rows = names.map((name, task) => {
    const answer = make("b", { class: "hl-says" }, "…");
    const mark = make("i", { class: "hl-mark" });
    const amount = make("span", { class: "hl-amount" });
    const believed = make("small", {});
    const who = make("span", { class: "hl-who" }, name, believed);
    const row = make("li", {}, who, answer, make("span", { class: "hl-track" }, mark), amount);
    row.style.setProperty("--task", colors[task]);
    return { row, answer, mark, amount, believed };
  });
  const head = `A hypernetwork wrote these networks in this page, ${count.toLocaleString("en")} weights each.`;
  const axis = make("div", { class: "hl-axis", "aria-hidden": "true" });
  axis.append(make("span", {}, "sure"), make("span", { class: "hl-what" }, "entropy"), make("span", {}, "in doubt"));
  const labels = make("div", { class: "hl-labels", "aria-hidden": "true" });
  labels.append(make("span", {}, "network for"), make("span", {}, "says"), axis);
  const list = make("ul", {}, ...rows.map(({ row }) => row));
  const asked = make("div", { class: "hl-asked" }, make("p", { class: "hl-head" }, head), labels, list);
  const said = make("p", { class: "hl-said", role: "status" });
  stage.append(hand, choice, asked, said);

  /* What changes with the drawing. */
  const pixels = () => (strokes.length ? normalized(strokes, side, box) : shown ? shown.pixels : null);

  function draw() {
    const [paper, dark] = ["--paper", "--ink"].map((name) => color(figure, name));
    const image = pixels();
    paint(seen, side, side, (x, y) => mix(paper, dark, image ? image[y * side + x] : 0));
    if (strokes.length) {
      const fine = 140;
      const lines = strokes.map((line) => line.map((point) => point.map((value) => value * fine)));
      const inkOnPad = inked(lines, fine, fine / 26);
      paint(ink, fine, fine, (x, y) => mix(paper, dark, inkOnPad[y * fine + x]));
    } else paint(ink, side, side, (x, y) => mix(paper, dark, image ? image[y * side + x] : 0));
    hint.hidden = strokes.length > 0;
    for (const { button, example } of thumbs) button.setAttribute("aria-pressed", !strokes.length && example === shown);
    ask(image);
  }

  function ask(image) {
    const answers = image ? networks.map((layers) => [...perceptron(layers, image)]) : [];
    const doubts = answers.map(entropy);
    const chosen = answers.length === names.length ? doubts.indexOf(Math.min(...doubts)) : -1;
    const says = answers.map((logits, task) => classes[task][logits.indexOf(Math.max(...logits))]);
    rows.forEach(({ row, answer, mark, amount, believed }, task) => {
      const known = task in doubts;
      answer.textContent = known ? says[task] : networks[task] ? "–" : "…";
      amount.textContent = known ? readable(doubts[task]) : "";
      mark.hidden = !known;
      mark.style.setProperty("--at", known ? placeOf(doubts[task], lowest) : 0);
      believed.textContent = task === chosen ? "believed" : "";
      row.dataset.believed = task === chosen;
    });
    const now = verdict(image, says[chosen], chosen);
    if (said.textContent !== now) said.textContent = now;
  }

  function verdict(image, answer, chosen) {
    if (!image) return "Nothing is drawn yet.";
    if (chosen < 0) return "The hypernetwork is writing …";
    const believed = `Believed is the network for ${names[chosen]}: it says ${answer}.`;
    if (strokes.length) return believed;
    if (shown.what) return `${believed} It was shown ${shown.what}.`;
    if (answer === shown.digit) return `${believed} That is right.`;
    const why = chosen === shown.task ? "" : ` The network for ${names[shown.task]} should have been believed.`;
    return `${believed} It was the digit ${shown.digit}.${why}`;
  }

  // A network at a time, with a pause for the page between them.
  async function writeAll() {
    for (const task of names.keys()) {
      await new Promise((done) => setTimeout(done));
      networks.push(unflatten(writeTask(numbers, task, count), shapes));
      draw();
    }
    figure.dataset.written = "";
  }

  function redraw() {
    const [paper, dark] = ["--paper", "--ink"].map((name) => color(figure, name));
    for (const { canvas, example } of thumbs)
      paint(canvas, side, side, (x, y) => mix(paper, dark, example.pixels[y * side + x]));
    draw();
  }

  /* What the reader does. */
  const soon = oncePerFrame(draw);
  function show(what) {
    strokes = [];
    shown = what;
    soon();
  }
  clear.addEventListener("click", () => show(null));
  onDrag(pad, (x, y, begins) => {
    shown = null;
    if (begins) strokes.push([]);
    strokes.at(-1).push([clamp(x, 0, 1), clamp(y, 0, 1)]);
    soon();
  });
  writeAll();
  return redraw;
}
