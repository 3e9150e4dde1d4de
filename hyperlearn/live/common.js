// What the figures that compute share: stored numbers, products, colours, pointer and keys. Functions only, so that a
// figure can carry this text in front of its own.

/* ---- numbers ---- */

// What hyperlearn/live/numbers.py packed: by name, {shape, values}. Rounded values come back as the floats they stand for.
async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = await new Response(stream).arrayBuffer();
  let at = 4 + new DataView(bytes).getUint32(0, true);
  const take = (Kind, count) => {
    const size = count * Kind.BYTES_PER_ELEMENT;
    at += size;
    return new Kind(bytes.slice(at - size, at));
  };
  const found = {};
  for (const [name, kind, shape] of JSON.parse(new TextDecoder().decode(bytes.slice(4, at)))) {
    const count = shape.reduce((a, b) => a * b, 1);
    if (kind === "rounded") {
      const columns = count / shape[0];
      const steps = take(Float32Array, columns);
      const counts = take(Int8Array, count);
      found[name] = { shape, values: Float32Array.from(counts, (value, i) => value * steps[i % columns]) };
    } else found[name] = { shape, values: take(kind === "uint8" ? Uint8Array : Float32Array, count) };
  }
  return found;
}

// A matrix [rows, columns], row by row, times a vector [columns], plus a bias [rows] where there is one.
function product(matrix, vector, bias) {
  const columns = vector.length;
  const out = new Float32Array(matrix.length / columns);
  for (let row = 0, k = 0; row < out.length; row++) {
    let sum = bias ? bias[row] : 0;
    for (let column = 0; column < columns; column++, k++) sum += matrix[k] * vector[column];
    out[row] = sum;
  }
  return out;
}

const relu = (vector) => vector.map((value) => Math.max(0, value));

// One vector of all parameters, cut into [weight, bias] of each layer; shapes in the order of named_parameters().
function unflatten(flat, shapes) {
  let at = 0;
  const parts = shapes.map((shape) => {
    const count = shape.reduce((a, b) => a * b, 1);
    at += count;
    return flat.subarray(at - count, at);
  });
  return Array.from({ length: parts.length / 2 }, (_, layer) => parts.slice(2 * layer, 2 * layer + 2));
}

// The logits of a multilayer perceptron with ReLU between its layers.
function perceptron(layers, input) {
  return layers.reduce((x, [weight, bias], number) => product(weight, number ? relu(x) : x, bias), input);
}

/* ---- the page ---- */

// An element with attributes and children: make("p", { class: "a" }, "text", other).
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Puts the live figure in the place of the still one. A browser that lacks something keeps the still picture.
async function start(figure, build, settings, text) {
  const numbers = await unpack(text);
  const stage = figure.querySelector(".hl-stage");
  const live = make("div", { class: "hl-live-stage" });
  const redraw = build(live, settings, numbers, figure);
  stage.replaceChildren(live);
  watchTheme(figure, redraw);
  figure.dataset.ready = "";
}

// Calls redraw now and when the page turns light or dark. Pages name their themes in many ways; the colour of their text
// tells in all of them.
function watchTheme(figure, redraw) {
  const look = () => {
    const [red, green, blue] = getComputedStyle(figure.parentElement).color.match(/[\d.]+/g).map(Number);
    const theme = 0.3 * red + 0.6 * green + 0.1 * blue > 128 ? "dark" : "light";
    if (figure.dataset.theme === theme) return;
    figure.dataset.theme = theme;
    redraw();
  };
  const observer = new MutationObserver(look);
  for (const element of [document.documentElement, document.body]) observer.observe(element, { attributes: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", look);
  look();
}

// A colour of the figure's style, "--ink" or "#0072B2", as [red, green, blue].
function color(element, name) {
  const hex = name.startsWith("--") ? getComputedStyle(element).getPropertyValue(name).trim() : name;
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

const mix = (from, to, share) => from.map((value, i) => value + (to[i] - value) * share);

// Fills a canvas of width x height pixels; paint(x, y) gives the colour of one.
function paint(canvas, width, height, paintPixel) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let y = 0, k = 0; y < height; y++)
    for (let x = 0; x < width; x++, k += 4) {
      image.data.set(paintPixel(x, y), k);
      image.data[k + 3] = 255;
    }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Once in the next frame, however often it is asked for.
function oncePerFrame(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/* ---- the reader ---- */

// Mouse, pen and finger alike: move(x, y, begins) with places in the element from 0 to 1, from the first touch on.
function onDrag(element, move, end = () => {}) {
  let held = null;
  const report = (event, begins) => {
    const box = element.getBoundingClientRect();
    move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, begins);
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button || held !== null || event.target.closest("button")) return;
    held = event.pointerId;
    element.setPointerCapture(held);
    report(event, true);
  });
  element.addEventListener("pointermove", (event) => {
    if (event.pointerId !== held) return;
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const step of steps.length ? steps : [event]) report(step, false);
  });
  for (const kind of ["pointerup", "pointercancel"])
    element.addEventListener(kind, (event) => {
      if (event.pointerId !== held) return;
      held = null;
      end();
    });
}

// Arrow keys: move(dx, dy) in steps, dy upwards; ten at once with Shift.
function onArrows(element, move) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  element.addEventListener("keydown", (event) => {
    const way = ways[event.key];
    if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const steps = event.shiftKey ? 10 : 1;
    move(way[0] * steps, way[1] * steps);
  });
}

const wantsMotion = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;

// Calls back once, as soon as most of an element can be seen.
function onceInView(element, then) {
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      then();
    },
    { threshold: 0.6 },
  );
  observer.observe(element);
}

// step(share) with shares from 0 to 1 over some milliseconds; at once for readers who want no motion. Returns a stop.
function glide(milliseconds, step) {
  if (!wantsMotion()) milliseconds = 0;
  let stopped = false;
  const begin = performance.now();
  const frame = (now) => {
    if (stopped) return;
    const share = milliseconds ? clamp((now - begin) / milliseconds, 0, 1) : 1;
    step(share * share * (3 - 2 * share));
    if (share < 1) requestAnimationFrame(frame);
  };
  frame(begin);
  return () => (stopped = true);
}
