// A pad to draw on, test digits and what is no digit to choose from: the image that networks are asked about.

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

// What is no digit, drawn in a square from 0 to 1.
function face() {
  const arc = (x, y, r, from, to) =>
    Array.from({ length: 25 }, (_, i) => {
      const angle = from + ((to - from) * i) / 24;
      return [x + r * Math.cos(angle), y + r * Math.sin(angle)];
    });
  return [arc(0.5, 0.5, 0.36, 0, 2 * Math.PI), [[0.38, 0.42]], [[0.62, 0.42]], arc(0.5, 0.52, 0.18, 0.4, Math.PI - 0.4)];
}
// An M: an A or an H passes for a 4 and an E for a 5, which is another lesson.
const letter = () => [
  [
    [0.2, 0.85],
    [0.2, 0.15],
    [0.5, 0.6],
    [0.8, 0.15],
    [0.8, 0.85],
  ],
];

// Puts a pad and a choice of images into a figure. Calls ask(image, what) whenever there is another image: its pixels and
// {digit, task} of an example, {what} of what is no digit, {} of a drawing; null where nothing is drawn. Returns a
// function that draws all of it again.
function drawingPad(stage, { classes, side, box, first }, numbers, figure, ask) {
  const size = side * side;
  const examples = Array.from(numbers.labels.values, (digit, i) => ({
    digit: classes.flat()[digit],
    task: Math.floor(digit / 2),
    pixels: Float32Array.from(numbers.images.values.subarray(i * size, (i + 1) * size), (value) => value / 255),
  }));
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
  stage.append(hand, choice);

  /* What changes with the drawing. */
  function draw() {
    const [paper, dark] = ["--paper", "--ink"].map((name) => color(figure, name));
    const image = strokes.length ? normalized(strokes, side, box) : shown ? shown.pixels : null;
    paint(seen, side, side, (x, y) => mix(paper, dark, image ? image[y * side + x] : 0));
    if (strokes.length) {
      const fine = 140;
      const lines = strokes.map((line) => line.map((point) => point.map((value) => value * fine)));
      const inkOnPad = inked(lines, fine, fine / 26);
      paint(ink, fine, fine, (x, y) => mix(paper, dark, inkOnPad[y * fine + x]));
    } else paint(ink, side, side, (x, y) => mix(paper, dark, image ? image[y * side + x] : 0));
    hint.hidden = strokes.length > 0;
    for (const { button, example } of thumbs) button.setAttribute("aria-pressed", !strokes.length && example === shown);
    ask(image, strokes.length ? {} : shown);
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
  return redraw;
}

// What the networks say, a row for each: its name, cells of its own, a mark on a scale, and an amount. `count` are the
// weights of each network, `column` stands above the cells that cellsOf(task) makes, `ends` above the scale, from left to
// right. show() gets the places on the scale, from 0 to 1, and the amounts of those that are written so far, which one is
// believed, or -1, and a statement.
function answerSheet({ names, colors }, { count, column, ends, cellsOf }) {
  const rows = names.map((name, task) => {
    const mark = make("i", { class: "hl-mark" });
    const amount = make("span", { class: "hl-amount" });
    const believed = make("small", {});
    const who = make("span", { class: "hl-who" }, name, believed);
    const track = make("span", { class: "hl-track" }, mark);
    const row = make("li", {}, who, ...cellsOf(task), track, amount);
    row.style.setProperty("--task", colors[task]);
    return { row, track, mark, amount, believed };
  });
  const head = `A hypernetwork wrote these networks in this page, ${count.toLocaleString("en")} weights each.`;
  const [left, middle, right] = ends;
  const axis = make("div", { class: "hl-axis", "aria-hidden": "true" });
  axis.append(make("span", {}, left), make("span", { class: "hl-what" }, middle), make("span", {}, right));
  const labels = make("div", { class: "hl-labels", "aria-hidden": "true" });
  labels.append(make("span", {}, "network for"), column, axis);
  const list = make("ul", {}, ...rows.map(({ row }) => row));
  const asked = make("div", { class: "hl-asked" }, make("p", { class: "hl-head" }, head), labels, list);
  const said = make("p", { class: "hl-said", role: "status" });

  function show(places, amounts, chosen, statement) {
    rows.forEach(({ row, mark, amount, believed }, task) => {
      const there = task in places;
      amount.textContent = there ? amounts[task] : "";
      mark.hidden = !there;
      mark.style.setProperty("--at", there ? places[task] : 0);
      believed.textContent = task === chosen ? "believed" : "";
      row.dataset.believed = task === chosen;
    });
    if (said.textContent !== statement) said.textContent = statement;
  }
  return { elements: [asked, said], tracks: rows.map(({ track }) => track), show };
}

// What was shown, in words, and whether the answer to it is right: that of the network for the task chosen, or null where
// none was believed.
function judged(answer, chosen, shown, names) {
  if (shown.what) return ` It was shown ${shown.what}.`;
  if (!("digit" in shown)) return "";
  if (answer === shown.digit) return " That is right.";
  const why = chosen === shown.task ? "" : ` The network for ${names[shown.task]} should have been believed.`;
  return ` It was the digit ${shown.digit}.${why}`;
}
