// Draw anything: autoencoders that a hypernetwork wrote draw it again, and the one that draws it best is believed, unless
// none draws it well.

// One vector of all parameters, cut by names and shapes: {name: values}.
function byName(flat, layout) {
  let at = 0;
  return Object.fromEntries(
    layout.map(([name, shape]) => {
      const count = shape.reduce((a, b) => a * b, 1);
      at += count;
      return [name, flat.subarray(at - count, at)];
    }),
  );
}

// What an autoencoder looks at: the image, or twice the means of 2 x 2 pixels.
function viewOf(image, side, pooled) {
  if (!pooled) return image;
  const half = side / 2;
  return Float32Array.from({ length: half * half }, (_, i) => {
    const at = 2 * Math.floor(i / half) * side + 2 * (i % half);
    return (image[at] + image[at + 1] + image[at + side] + image[at + side + 1]) / 2;
  });
}

// A vector [rows] times a matrix [rows, columns], plus a bias [columns].
function transposedProduct(matrix, vector, bias) {
  const out = Float32Array.from(bias);
  for (let row = 0, k = 0; row < vector.length; row++) {
    const value = vector[row];
    if (value) for (let column = 0; column < out.length; column++) out[column] += value * matrix[k + column];
    k += out.length;
  }
  return out;
}

// The view drawn again as each of the classes, by hyperlearn/nets/autoencoder.py.
function drawnAgain(net, view, classes) {
  const code = product(net["code.weight"], relu(product(net["encode.weight"], view, net["encode.bias"])), net["code.bias"]);
  return Array.from({ length: classes }, (_, k) => {
    const input = Float32Array.from({ length: code.length + classes }, (_, i) =>
      i < code.length ? code[i] : Number(i - code.length === k),
    );
    const hidden = relu(product(net["decode.weight"], input, net["decode.bias"]));
    return transposedProduct(net["encode.weight"], hidden, net.bias);
  });
}

const logDensity = (drawn, view) => -0.5 * drawn.reduce((sum, value, i) => sum + (value - view[i]) ** 2, 0);

// Masks of a view, and what each leaves out.
function halvesOf({ shape: [count, width], values }) {
  const masks = Array.from({ length: count }, (_, i) => Float32Array.from(values.subarray(i * width, (i + 1) * width)));
  return masks.flatMap((mask) => [mask, mask.map((kept) => 1 - kept)]);
}

const partsOf = (view, halves) => halves.map((half) => view.map((value, i) => value * half[i]));

// What a network makes of a view and its parts: its drawings, and a log density for each class, the mean of that from the
// whole view and of those from the parts.
function judgedBy(net, view, parts, classes) {
  const drawings = drawnAgain(net, view, classes);
  const whole = drawings.map((drawn) => logDensity(drawn, view));
  const each = parts.map((part) => drawnAgain(net, part, classes).map((drawn) => logDensity(drawn, view)));
  const densities = whole.map((value, k) => {
    if (!each.length) return value;
    return (value + each.reduce((sum, part) => sum + part[k], 0) / each.length) / 2;
  });
  return { drawings, densities };
}

// log of the sum of exponentials.
function logSumExp(values) {
  const most = Math.max(...values);
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

function redrawing(stage, settings, numbers, figure) {
  const { names, classes, layout, side, pooled, threshold, lowest } = settings;
  const count = layout.reduce((total, [, shape]) => total + shape.reduce((a, b) => a * b, 1), 0);
  const drawnSide = pooled ? side / 2 : side;
  const halves = halvesOf(numbers.masks);
  const networks = []; // filled one by one, as they are written
  const place = (density) => clamp(density / lowest, 0, 1); // 0 is a perfect drawing

  /* What there is to see. */
  const drawn = classes.map((labels) =>
    labels.map((label) => {
      const canvas = make("canvas", { role: "img", "aria-label": `Drawn again as ${label}` });
      return { canvas, box: make("span", { class: "hl-drawn" }, canvas, make("span", {}, `as ${label}`)) };
    }),
  );
  const sheet = answerSheet(settings, {
    count,
    column: make("span", { class: "hl-draws" }, "draws"),
    ends: ["knows it", "log density", "does not"],
    cellsOf: (task) => drawn[task].map(({ box }) => box),
  });
  for (const track of sheet.tracks) {
    track.prepend(make("i", { class: "hl-threshold" }));
    track.style.setProperty("--from", place(threshold));
  }
  const redraw = drawingPad(stage, settings, numbers, figure, ask);
  stage.append(...sheet.elements);

  /* What changes with the drawing. */
  function ask(image, shown) {
    const view = image && viewOf(image, side, pooled);
    const parts = image && partsOf(view, halves);
    const answers = image ? networks.map((net) => judgedBy(net, view, parts, 2)) : [];
    const best = answers.map(({ densities }) => densities.indexOf(Math.max(...densities)));
    const densities = answers.map((answer) => logSumExp(answer.densities));
    const most = Math.max(...densities);
    const written = answers.length === names.length;
    const chosen = written && most >= threshold ? densities.indexOf(most) : -1;
    const [paper, dark] = ["--paper", "--ink"].map((name) => color(figure, name));
    drawn.forEach((pair, task) =>
      pair.forEach(({ canvas, box }, k) => {
        const pixels = answers[task]?.drawings[k];
        const shade = (at) => (pixels ? clamp(pixels[at] / (pooled ? 2 : 1), 0, 1) : 0);
        paint(canvas, drawnSide, drawnSide, (x, y) => mix(paper, dark, shade(y * drawnSide + x)));
        box.dataset.best = k === best[task];
      }),
    );
    const amounts = densities.map((density) => density.toFixed(1).replace("-", "−"));
    const answer = chosen < 0 ? null : classes[chosen][best[chosen]];
    sheet.show(densities.map(place), amounts, chosen, verdict(image, written, answer, chosen, shown));
  }

  function verdict(image, written, answer, chosen, shown) {
    if (!image) return "Nothing is drawn yet.";
    if (!written) return "The hypernetwork is writing …";
    const right = judged(answer, chosen, shown, names);
    if (chosen < 0) return `None of these: no network draws it well enough.${right}`;
    return `Believed is the network for ${names[chosen]}: it says ${answer}.${right}`;
  }

  writeTasks(numbers, count, (flat) => {
    networks.push(byName(flat, layout));
    redraw();
  }).then(() => (figure.dataset.written = ""));
  return redraw;
}
