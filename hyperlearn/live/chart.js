// What figures with a chart share: axes, marks, points to drag, ranges and choices. A chart is drawn in pixels of the page,
// so that its letters keep their size at every width.

// An element of SVG; texts and elements go into it.
function shape(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Values to pixels and back, evenly or evenly in the logarithm.
function axis({ from, to, log = false }, start, end) {
  const [bend, unbend] = log ? [Math.log10, (value) => 10 ** value] : [Number, Number];
  const [low, high] = [bend(from), bend(to)];
  return {
    at: (value) => start + ((bend(value) - low) / (high - low)) * (end - start),
    value: (pixel) => unbend(low + ((pixel - start) / (end - start)) * (high - low)),
  };
}

// A line through points in pixels.
function line(points, attributes = {}) {
  const path = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)},${y.toFixed(2)}`).join("");
  return shape("path", { d: path, fill: "none", "stroke-width": 2, ...attributes });
}

const tint = (number) => `var(--tint-${number})`;

const MARGIN = { left: 54, right: 12, top: 10, bottom: 38 };

// Axes with what `marks` draws between them, anew whenever the chart's width or a value changes. x and y are functions that
// give {from, to, log, label, ticks, text}. Handles are points that the reader drags, or moves with the arrow keys:
// {label, at, move, nudge, text}, where `at` gives a place in values and `move` gets one.
function chart({ label, x, y, height, marks, handles = [], drag = "both" }) {
  const picture = shape("svg", { role: "img", "aria-label": label });
  const knobs = handles.map(({ label, number = 0 }) => {
    const knob = make("div", { class: "hl-knob", role: "slider", tabindex: "0", "aria-label": label });
    knob.style.setProperty("--knob", number ? tint(number) : "var(--ink)");
    return knob;
  });
  const element = make("div", { class: "hl-axes", "data-drag": handles.length ? drag : "none" }, picture, ...knobs);
  let axes = null; // of the last drawing

  function update() {
    const width = element.clientWidth;
    if (!width) return;
    const inner = [width - MARGIN.left - MARGIN.right, height(width) - MARGIN.top - MARGIN.bottom];
    const sides = { x: x(), y: y() };
    axes = { x: axis(sides.x, 0, inner[0]), y: axis(sides.y, inner[1], 0), inner };
    picture.setAttribute("width", width);
    picture.setAttribute("height", height(width));
    const area = shape("svg", { x: MARGIN.left, y: MARGIN.top, width: inner[0], height: inner[1] }, ...marks(axes));
    picture.replaceChildren(...frame(sides), area);
    handles.forEach(({ at, text }, number) => {
      const [across, up] = at();
      const knob = knobs[number];
      knob.style.left = `${MARGIN.left + clamp(axes.x.at(across), 0, inner[0])}px`;
      knob.style.top = `${MARGIN.top + clamp(axes.y.at(up), 0, inner[1])}px`;
      knob.setAttribute("aria-valuenow", Number(across.toFixed(3)));
      knob.setAttribute("aria-valuemin", Number(sides.x.from.toFixed(3)));
      knob.setAttribute("aria-valuemax", Number(sides.x.to.toFixed(3)));
      knob.setAttribute("aria-valuetext", text());
    });
  }

  // The lines and the names of the two axes.
  function frame(sides) {
    const [wide, tall] = axes.inner;
    const [left, top] = [MARGIN.left, MARGIN.top];
    const shown = { text: (value) => value.toLocaleString("en"), ticks: [] };
    const found = [shape("rect", { x: left, y: top, width: wide, height: tall, class: "hl-ground" })];
    const name = (text, attributes) => found.push(shape("text", { "text-anchor": "middle", ...attributes }, text));
    for (const value of sides.x.ticks ?? shown.ticks) {
      const at = left + axes.x.at(value);
      found.push(shape("path", { d: `M${at},${top}V${top + tall}`, class: "hl-grid" }));
      name((sides.x.text ?? shown.text)(value), { x: at, y: top + tall + 15 });
    }
    for (const value of sides.y.ticks ?? shown.ticks) {
      const at = top + axes.y.at(value);
      found.push(shape("path", { d: `M${left},${at}H${left + wide}`, class: "hl-grid" }));
      name((sides.y.text ?? shown.text)(value), { x: left - 6, y: at + 4, "text-anchor": "end" });
    }
    name(sides.x.label, { x: left + wide / 2, y: top + tall + 32 });
    name(sides.y.label, { transform: `translate(12, ${top + tall / 2}) rotate(-90)` });
    return found;
  }

  // The nearest handle takes the pointer, so that a finger need not hit it.
  let held = 0;
  onDrag(element, (across, down, begins) => {
    const box = element.getBoundingClientRect();
    const place = [across * box.width - MARGIN.left, down * box.height - MARGIN.top];
    if (begins) {
      const distances = handles.map(({ at }) => Math.hypot(axes.x.at(at()[0]) - place[0], axes.y.at(at()[1]) - place[1]));
      held = distances.indexOf(Math.min(...distances));
      knobs[held]?.focus({ preventScroll: true });
    }
    const [wide, tall] = axes.inner;
    handles[held]?.move(axes.x.value(clamp(place[0], 0, wide)), axes.y.value(clamp(place[1], 0, tall)));
  });
  knobs.forEach((knob, number) => onArrows(knob, handles[number].nudge));
  new ResizeObserver(update).observe(element);
  return { element, update };
}

// A slider with a name and its value beside it, evenly or evenly in the logarithm from one end to the other.
function range({ label, from, to, log = false, steps = 100, text = String, round = Number, change }) {
  const scale = axis({ from, to, log }, 0, steps);
  const input = make("input", { type: "range", min: 0, max: steps, "aria-label": label });
  const shown = make("b", { class: "hl-value", "aria-hidden": "true" }); // the slider says it too
  input.addEventListener("input", () => change(round(scale.value(Number(input.value)))));
  const set = (value) => {
    // Rounding may bring two places of the slider to one value; keys must get past it.
    if (round(scale.value(Number(input.value))) !== value) input.value = scale.at(value);
    shown.textContent = text(value);
    input.setAttribute("aria-valuetext", text(value));
  };
  return { element: make("label", { class: "hl-range" }, make("span", {}, label), input, shown), set };
}

// One of several, by name.
function choice({ label, names, change }) {
  const select = make("select", { "aria-label": label });
  select.append(...names.map((name, number) => make("option", { value: number }, name)));
  select.addEventListener("change", () => change(Number(select.value)));
  const set = (number) => (select.value = number);
  return { element: make("label", { class: "hl-range" }, make("span", {}, label), select), set };
}

// What the lines of a chart are: {name, number, dash} of each, and a place for its present value.
function legend(entries) {
  const rows = entries.map(({ name, number, dash = "", mark = "" }) => {
    const sample = mark || shape("svg", { width: 26, height: 10, "aria-hidden": "true" });
    if (!mark) {
      const stroke = number ? tint(number) : "var(--ink)";
      sample.append(shape("path", { d: "M0,5H26", stroke, "stroke-width": 3, "stroke-dasharray": dash }));
    }
    const value = make("b", {});
    return { row: make("li", {}, make("i", { "aria-hidden": "true" }, sample), make("span", {}, name), value), value };
  });
  const element = make("ul", { class: "hl-legend" }, ...rows.map(({ row }) => row));
  return { element, set: (texts) => texts.forEach((text, number) => (rows[number].value.textContent = text)) };
}

// A number with about three digits, and thousands grouped.
function short(value) {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en", { maximumFractionDigits: Math.min(digits, 4) }).replace("-", "−");
}
