// Draw a digit: all networks that a hypernetwork wrote look at it, and the one that is in least doubt is believed.

// In nats, from logits, by way of the logarithms: no probability is rounded to zero.
function entropy(logits) {
  const most = Math.max(...logits);
  const sum = logits.reduce((total, value) => total + Math.exp(value - most), 0);
  return -logits.reduce((total, value) => {
    const log = value - most - Math.log1p(sum - 1);
    return total + Math.exp(log) * log;
  }, 0);
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

function drawing(stage, settings, numbers, figure) {
  const { names, classes, shapes, lowest } = settings;
  const count = shapes.reduce((total, shape) => total + shape.reduce((a, b) => a * b, 1), 0);
  const networks = []; // filled one by one, as they are written

  /* What there is to see. */
  const answers = names.map(() => make("b", { class: "hl-says" }, "…"));
  const sheet = answerSheet(settings, {
    count,
    column: make("span", {}, "says"),
    ends: ["sure", "entropy", "in doubt"],
    cellsOf: (task) => [answers[task]],
  });
  const redraw = drawingPad(stage, settings, numbers, figure, ask);
  stage.append(...sheet.elements);

  /* What changes with the drawing. */
  function ask(image, shown) {
    const logits = image ? networks.map((layers) => [...perceptron(layers, image)]) : [];
    const doubts = logits.map(entropy);
    const chosen = logits.length === names.length ? doubts.indexOf(Math.min(...doubts)) : -1;
    const says = logits.map((each, task) => classes[task][each.indexOf(Math.max(...each))]);
    answers.forEach((answer, task) => (answer.textContent = says[task] ?? (networks[task] ? "–" : "…")));
    const places = doubts.map((doubt) => placeOf(doubt, lowest));
    sheet.show(places, doubts.map(readable), chosen, verdict(image, says[chosen], chosen, shown));
  }

  function verdict(image, answer, chosen, shown) {
    if (!image) return "Nothing is drawn yet.";
    if (chosen < 0) return "The hypernetwork is writing …";
    return `Believed is the network for ${names[chosen]}: it says ${answer}.${judged(answer, chosen, shown, names)}`;
  }

  writeTasks(numbers, count, (flat) => {
    networks.push(unflatten(flat, shapes));
    redraw();
  }).then(() => (figure.dataset.written = ""));
  return redraw;
}
