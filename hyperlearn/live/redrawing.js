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

// What a network makes of a view: its drawings, and a log density for each class, the mean of that from the whole view
// and of those from views of which each mask, or what it leaves out, is kept.
function judgedBy(net, view, masks, classes) {
  const drawings = drawnAgain(net, view, classes);
  const whole = drawings.map((drawn) => logDensity(drawn, view));
  const parts = masks.flatMap((mask) => [mask, mask.map((kept) => 1 - kept)]);
  const each = parts.map((mask) => {
    const kept = view.map((value, i) => value * mask[i]);
    return drawnAgain(net, kept, classes).map((drawn) => logDensity(drawn, view));
  });
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
  const { names, classes, colors, layout, side, pooled, threshold, lowest } = settings;
  const count = layout.reduce((total, [, shape]) => total + shape.reduce((a, b) => a * b, 1), 0);
  const drawnSide = pooled ? side / 2 : side;
  const width = drawnSide * drawnSide;
  const masks = Array.from({ length: numbers.masks.shape[0] }, (_, i) =>
    Float32Array.from(numbers.masks.values.subarray(i * width, (i + 1) * width)),
  );
  const networks = []; // filled one by one, as they are written
  const place = (density) => clamp(density / lowest, 0, 1); // 0 is a perfect drawing

  /* What there is to see. */
  const rows = names.map((name, task) => {
    const drawn = classes[task].map((label) => {
      const canvas = make("canvas", { role: "img", "aria-label": `Drawn again as ${label}` });
      const box = make("span", { class: "hl-drawn" }, canvas, make("span", {}, `as ${label}`));
      return { canvas, box };
    });
    const mark = make("i", { class: "hl-mark" });
    const amount = make("span", { class: "hl-amount" });
    const believed = make("small", {});
    const who = make("span", { class: "hl-who" }, name, believed);
    const track = make("span", { class: "hl-track" }, make("i", { class: "hl-threshold" }), mark);
    track.style.setProperty("--from", place(threshold));
    const row = make("li", {}, who, ...drawn.map(({ box }) => box), track, amount);
    row.style.setProperty("--task", colors[task]);
    return { row, drawn, mark, amount, believed };
  });
  const head = `A hypernetwork wrote these networks in this page, ${count.toLocaleString("en")} weights each.`;
  const axis = make("div", { class: "hl-axis", "aria-hidden": "true" });
  axis.append(make("span", {}, "knows it"), make("span", { class: "hl-what" }, "log density"), make("span", {}, "does not"));
  const labels = make("div", { class: "hl-labels", "aria-hidden": "true" });
  labels.append(make("span", {}, "network for"), make("span", { class: "hl-draws" }, "draws"), axis);
  const list = make("ul", {}, ...rows.map(({ row }) => row));
  const asked = make("div", { class: "hl-asked" }, make("p", { class: "hl-head" }, head), labels, list);
  const said = make("p", { class: "hl-said", role: "status" });
  const redraw = drawingPad(stage, settings, numbers, figure, ask);
  stage.append(asked, said);

  /* What changes with the drawing. */
  function ask(image, shown) {
    const view = image && viewOf(image, side, pooled);
    const answers = image ? networks.map((net) => judgedBy(net, view, masks, 2)) : [];
    const densities = answers.map((answer) => logSumExp(answer.densities));
    const all = answers.length === names.length;
    const most = Math.max(...densities);
    const known = all && most >= threshold;
    const chosen = known ? densities.indexOf(most) : -1;
    const [paper, dark] = ["--paper", "--ink"].map((name) => color(figure, name));
    rows.forEach(({ row, drawn, mark, amount, believed }, task) => {
      const there = task in answers;
      const best = there ? answers[task].densities.indexOf(Math.max(...answers[task].densities)) : -1;
      drawn.forEach(({ canvas, box }, k) => {
        const pixels = there ? answers[task].drawings[k] : null;
        const shade = (at) => (pixels ? clamp(pixels[at] / (pooled ? 2 : 1), 0, 1) : 0);
        paint(canvas, drawnSide, drawnSide, (x, y) => mix(paper, dark, shade(y * drawnSide + x)));
        box.dataset.best = k === best;
      });
      amount.textContent = there ? densities[task].toFixed(1).replace("-", "−") : "";
      mark.hidden = !there;
      mark.style.setProperty("--at", there ? place(densities[task]) : 0);
      believed.textContent = task === chosen ? "believed" : "";
      row.dataset.believed = task === chosen;
    });
    const now = verdict();
    if (said.textContent !== now) said.textContent = now;

    function verdict() {
      if (!image) return "Nothing is drawn yet.";
      if (!all) return "The hypernetwork is writing …";
      if (!known) return `None of these: no network draws it well enough.${judged(null, -1, shown, names)}`;
      const answer = classes[chosen][answers[chosen].densities.indexOf(Math.max(...answers[chosen].densities))];
      return `Believed is the network for ${names[chosen]}: it says ${answer}.${judged(answer, chosen, shown, names)}`;
    }
  }

  writeTasks(numbers, count, (flat) => {
    networks.push(byName(flat, layout));
    redraw();
  }).then(() => (figure.dataset.written = ""));
  return redraw;
}
