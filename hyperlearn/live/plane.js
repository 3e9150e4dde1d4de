// The plane of embeddings: the reader moves a dot, a hypernetwork writes a network for the place, and it reads digits.

// All parameters of the network that the hypernetwork writes for an embedding of two values, as one vector.
function write(numbers, embedding) {
  const at = (name) => numbers[name].values;
  const hidden = relu(product(at("hidden.weight"), embedding, at("hidden.bias")));
  return product(at("head.weight"), hidden, at("head.bias"));
}

// The test images as fractions, one vector each.
function testImages({ images }) {
  const size = images.values.length / images.shape[0];
  return Array.from({ length: images.shape[0] }, (_, i) =>
    Float32Array.from(images.values.subarray(i * size, (i + 1) * size), (value) => value / 255),
  );
}

// Which countries the plane has: for a place from 0 to 1, the task that its network solves best, and its accuracy. The
// stored accuracies [task, row, column] are interpolated, rows from low to high values.
function countryAt({ shape: [tasks, rows, columns], values }, x, y) {
  const [column, row] = [x * (columns - 1), y * (rows - 1)];
  const [left, low] = [Math.min(Math.floor(column), columns - 2), Math.min(Math.floor(row), rows - 2)];
  const [a, b] = [column - left, row - low];
  const best = { task: 0, accuracy: -1 };
  for (let task = 0, k = low * columns + left; task < tasks; task++, k += rows * columns) {
    const below = values[k] * (1 - a) + values[k + 1] * a;
    const above = values[k + columns] * (1 - a) + values[k + columns + 1] * a;
    const accuracy = below * (1 - b) + above * b;
    if (accuracy > best.accuracy) Object.assign(best, { task, accuracy });
  }
  return best;
}

const SOLVED = 0.9; // from this accuracy on a network counts as one for the task

// In words, for which tasks the network is one.
function statement(names, accuracies) {
  const solved = names.filter((_, task) => accuracies[task] >= SOLVED);
  if (solved.length === 0) return "Written here: a network that does none of these tasks well.";
  return `Written here: a network for ${solved.join(", and for ")}.`;
}

function plane(stage, { names, classes, colors, reach, shapes, side, first }, numbers, figure) {
  const tests = testImages(numbers);
  const labels = numbers.labels.values;
  const tasks = names.length;
  const each = tests.length / tasks; // images of a task
  const embeddings = names.map((_, task) => [...numbers.embeddings.values.subarray(2 * task, 2 * task + 2)]);
  const count = numbers["head.bias"].shape[0].toLocaleString("en");
  let embedding = embeddings[first];
  let stopGliding = () => {};

  /* What there is to see, from left to right. */
  const ground = make("canvas", { "aria-hidden": "true" });
  const flags = names.map((name, task) => {
    const flag = make("button", { class: "hl-flag", type: "button", "aria-label": `Go to the embedding of ${name}` }, name);
    flag.style.setProperty("--task", colors[task]);
    flag.classList.toggle("hl-low", embeddings[task][1] > 0.7 * reach); // at the upper edge the name goes below the place
    flag.addEventListener("click", () => fly(embeddings[task]));
    return place(flag, embeddings[task]);
  });
  const dot = make("div", {
    class: "hl-dot",
    tabindex: "0",
    role: "slider",
    "aria-label": "Embedding; arrow keys move it in the plane",
    "aria-valuemin": -reach.toFixed(2),
    "aria-valuemax": reach.toFixed(2),
  });
  const hint = make("span", { class: "hl-hint", "aria-hidden": "true" }, "drag me");
  const map = make("div", { class: "hl-map" }, ground, ...flags, dot, hint);
  const told = make("span", { class: "hl-place", "aria-hidden": "true" });
  const side1 = make("div", { class: "hl-told" }, make("p", { class: "hl-head" }, "two numbers ", told), map);

  const writer = make("div", { class: "hl-writer" }, make("span", {}, "hyper", make("wbr"), "network"));

  const units = Array.from({ length: shapes[0][0] }, () => make("canvas"));
  const tiles = make("div", { class: "hl-tiles", role: "img" }, ...units);
  tiles.setAttribute("aria-label", `The weights of the first layer, one picture for each of its ${units.length} units`);
  const note = make("p", { class: "hl-note" }, "The first layer, a picture for each unit: what speaks for it is blue, what speaks against it red.");
  const weights = make("div", { class: "hl-weights" }, make("p", { class: "hl-head" }, `${count} weights`), tiles, note);

  const rows = names.map((name, task) => {
    const shown = [0, 1].map((label) => {
      let image = task * each;
      while (labels[image] !== label) image++;
      const canvas = make("canvas", { role: "img", "aria-label": `A handwritten ${classes[task][label]}` });
      return { image, label, canvas, answer: make("span", { class: "hl-answer" }) };
    });
    const bar = make("div", { class: "hl-bar", role: "meter", "aria-label": `Accuracy on ${name}` }, make("i"));
    const percent = make("span", { class: "hl-percent" });
    const digits = shown.map(({ canvas, answer }) => make("span", { class: "hl-digit" }, canvas, answer));
    const row = make("div", { class: "hl-task" }, make("b", {}, name), ...digits, bar, percent);
    row.style.setProperty("--task", colors[task]);
    return { row, shown, bar, percent };
  });
  const reads = make("div", { class: "hl-reads" }, make("p", { class: "hl-head" }, "and what they read"));
  reads.append(...rows.map(({ row }) => row));
  const target = make("div", { class: "hl-target" }, weights, reads);
  const said = make("p", { class: "hl-said", role: "status" });
  stage.append(side1, writer, target, said);

  function place(element, [x, y]) {
    element.style.left = `${50 * (x / reach + 1)}%`;
    element.style.top = `${50 * (1 - y / reach)}%`;
    return element;
  }

  /* What changes with the dot. */
  function draw() {
    const flat = write(numbers, embedding);
    const layers = unflatten(flat, shapes);
    const text = embedding.map((value) => value.toFixed(2).replace("-", "−"));
    for (const element of [dot, hint]) place(element, embedding);
    told.textContent = `(${text.join(", ")})`;
    drawWeights(layers[0][0]);
    const accuracies = rows.map((_, task) => read(layers, task));
    const now = statement(names, accuracies);
    if (said.textContent !== now) said.textContent = now;
    dot.setAttribute("aria-valuenow", embedding[0].toFixed(2));
    dot.setAttribute("aria-valuetext", `${text.join(" and ")}. ${now}`);
  }

  function drawWeights(weight) {
    const [paper, plus, minus] = ["--paper", "--plus", "--minus"].map((name) => color(figure, name));
    const size = side * side;
    units.forEach((canvas, unit) =>
      paint(canvas, side, side, (x, y) => {
        const value = weight[unit * size + y * side + x] / numbers.limit.values[0];
        return mix(paper, value > 0 ? plus : minus, Math.min(1, Math.abs(value)));
      }),
    );
  }

  function read(layers, task) {
    const answers = Array.from({ length: each }, (_, i) => {
      const [no, yes] = perceptron(layers, tests[task * each + i]);
      return yes > no ? 1 : 0;
    });
    const right = answers.filter((answer, i) => answer === labels[task * each + i]).length;
    const accuracy = right / each;
    const { row, shown, bar, percent } = rows[task];
    for (const { image, label, answer } of shown) {
      const said = answers[image - task * each];
      answer.textContent = `${classes[task][said]} ${said === label ? "✓" : "✗"}`;
      answer.dataset.right = said === label;
    }
    bar.firstChild.style.width = `${100 * accuracy}%`;
    bar.setAttribute("aria-valuenow", Math.round(100 * accuracy));
    percent.textContent = `${Math.round(100 * accuracy)}%`;
    row.dataset.solved = accuracy >= SOLVED;
    return accuracy;
  }

  /* What changes with the theme. */
  function redraw() {
    const paper = color(figure, "--paper");
    const shades = colors.map((name) => color(figure, name));
    const pixels = 280;
    paint(ground, pixels, pixels, (x, y) => {
      const { task, accuracy } = countryAt(numbers.maps, x / (pixels - 1), 1 - y / (pixels - 1));
      return mix(paper, shades[task], 0.55 * clamp((accuracy - 60) / 40, 0, 1) ** 2);
    });
    const ink = color(figure, "--ink");
    for (const { shown } of rows)
      for (const { image, canvas } of shown)
        paint(canvas, side, side, (x, y) => mix(paper, ink, tests[image][y * side + x]));
    draw();
  }

  /* What the reader does. */
  const soon = oncePerFrame(draw);
  const go = (x, y) => {
    embedding = [x, y].map((value) => clamp(value, -reach, reach));
    soon();
  };
  const touched = () => {
    stopGliding();
    hint.remove();
  };
  function fly(to) {
    touched();
    const from = embedding;
    stopGliding = glide(900, (share) => go(...mix(from, to, share)));
  }
  onDrag(map, (x, y, begins) => {
    if (begins) {
      touched();
      dot.focus({ preventScroll: true });
    }
    go(reach * (2 * x - 1), reach * (1 - 2 * y));
  });
  onArrows(dot, (dx, dy) => {
    touched();
    go(embedding[0] + (dx * reach) / 50, embedding[1] + (dy * reach) / 50);
  });

  // Once, when the figure comes into view: the dot goes to another task and back, and stops at the first touch.
  const there = embeddings[(first + 2) % tasks];
  const back = embedding;
  const invite = (share) => go(...mix(back, there, 1 - Math.abs(1 - 2 * share)));
  onceInView(map, () => hint.isConnected && wantsMotion() && (stopGliding = glide(3600, invite)));
  return redraw;
}
