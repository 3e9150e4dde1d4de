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
  const { names, classes, colors, shapes, lowest } = settings;
  const count = shapes.reduce((total, shape) => total + shape.reduce((a, b) => a * b, 1), 0);
  const networks = []; // filled one by one, as they are written

  /* What there is to see. */
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
  const redraw = drawingPad(stage, settings, numbers, figure, ask);
  stage.append(asked, said);

  /* What changes with the drawing. */
  function ask(image, shown) {
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
    const now = verdict(image, says[chosen], chosen, shown);
    if (said.textContent !== now) said.textContent = now;
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
