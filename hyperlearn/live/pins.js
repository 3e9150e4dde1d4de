// Pins: a hypernetwork of one embedding value that writes one parameter, trained for a new task with the old ones held.

// Its parameters as one vector: the hidden layer's weights and biases, the output's weights and its bias.
function startOf(numbers) {
  const names = ["0.weight", "0.bias", "2.weight", "2.bias"];
  return Float64Array.from(names.flatMap((name) => [...numbers[name].values]));
}

function curve(params, embedding) {
  const units = (params.length - 1) / 3;
  let sum = params[3 * units];
  for (let i = 0; i < units; i++) sum += params[2 * units + i] * Math.tanh(params[i] * embedding + params[units + i]);
  return sum;
}

// Trained by Adam to have values at some embeddings: the sum of the squared distances, each with its weight. The given
// parameters stay as they are.
function fit(given, points, { steps, rate }) {
  const params = given.slice();
  const [first, second] = [new Float64Array(params.length), new Float64Array(params.length)];
  const units = (params.length - 1) / 3;
  const gradient = new Float64Array(params.length);
  for (let step = 1; step <= steps; step++) {
    gradient.fill(0);
    for (const { at, value, weight } of points) {
      const outer = 2 * weight * (curve(params, at) - value);
      for (let i = 0; i < units; i++) {
        const unit = Math.tanh(params[i] * at + params[units + i]);
        const inner = outer * params[2 * units + i] * (1 - unit * unit);
        gradient[i] += inner * at;
        gradient[units + i] += inner;
        gradient[2 * units + i] += outer * unit;
      }
      gradient[3 * units] += outer;
    }
    for (let i = 0; i < params.length; i++) {
      first[i] = 0.9 * first[i] + 0.1 * gradient[i];
      second[i] = 0.999 * second[i] + 0.001 * gradient[i] ** 2;
      const size = Math.sqrt(second[i] / (1 - 0.999 ** step)) + 1e-8;
      params[i] -= (rate * first[i]) / (1 - 0.9 ** step) / size;
    }
  }
  return params;
}

// The curve of the old tasks; from there the new task alone; and the new task with beta times the mean squared distance
// from what was written for the old tasks before.
function learn(start, places, beta, training) {
  const [old, fresh] = [places.slice(0, -1), places.slice(-1)];
  const points = (places, weight) => places.map(([at, value]) => ({ at, value, weight }));
  const before = fit(start, points(old, 1), training);
  const held = old.map(([at]) => ({ at, value: curve(before, at), weight: beta / old.length }));
  const wanted = points(fresh, 1);
  return { before, alone: fit(before, wanted, training), pinned: fit(before, [...held, ...wanted], training) };
}

// How far the weights went, together.
const moved = (from, to) => Math.hypot(...to.map((value, i) => value - from[i]));

// The largest distance of a curve from the places of the old tasks.
const missed = (params, places) => Math.max(...places.slice(0, -1).map(([at, value]) => Math.abs(curve(params, at) - value)));

function pins(stage, { places, beta, training, reach, height }, numbers) {
  const start = startOf(numbers);
  const state = { places: places.map((place) => [...place]), beta };
  let curves = learn(start, state.places, beta, training);
  const set = (changes) => {
    Object.assign(state, changes);
    soon();
  };
  const put = (number, at, value) => {
    const place = [clamp(at, -reach, reach), clamp(value, -height, height)];
    set({ places: state.places.map((old, i) => (i === number ? place : old)) });
  };

  const styles = {
    before: { stroke: tint(6), "stroke-dasharray": "6 4" },
    alone: { stroke: tint(2), "stroke-dasharray": "10 4 2 4" },
    pinned: { stroke: tint(1), "stroke-width": 3 },
  };
  function marks(axes) {
    const at = Array.from({ length: 121 }, (_, i) => reach * (i / 60 - 1));
    const lines = Object.entries(styles).map(([name, style]) =>
      line(at.map((e) => [axes.x.at(e), axes.y.at(curve(curves[name], e))]), style),
    );
    const names = state.places.map(([e, value], number) => {
      const [x, y] = [axes.x.at(e), axes.y.at(value)];
      const side = { x: clamp(x, 30, axes.inner[0] - 30), y: y < 34 ? y + 28 : y - 17, "text-anchor": "middle" };
      return shape("text", { class: "hl-name", ...side }, `task ${number + 1}`);
    });
    return [...lines, ...names];
  }
  const signed = (value) => value.toFixed(2).replace("-", "−");
  const board = chart({
    label: "What the hypernetwork writes, against the embedding, before and after a new task",
    x: () => ({ from: -reach, to: reach, label: "embedding e", ticks: [-3, -2, -1, 0, 1, 2, 3], text: signless }),
    y: () => ({ from: -height, to: height, label: "generated parameter", ticks: [-2, -1, 0, 1, 2], text: signless }),
    height: (width) => clamp(0.7 * width, 250, 340),
    marks,
    handles: places.map((_, number) => ({
      label: `The place of task ${number + 1}; arrow keys move it`,
      number: number === places.length - 1 ? 2 : 0,
      at: () => state.places[number],
      move: (at, value) => put(number, at, value),
      nudge: (dx, dy) => put(number, state.places[number][0] + 0.05 * dx, state.places[number][1] + 0.05 * dy),
      text: () => `embedding ${signed(state.places[number][0])}, value ${signed(state.places[number][1])}`,
    })),
  });
  const strength = range({
    label: "strength of the pins β",
    from: 0.001,
    to: 100,
    log: true,
    text: short,
    change: (beta) => set({ beta }),
  });
  const key = legend([
    { name: "before task 3", number: 6, dash: "6 4" },
    { name: "task 3 alone", number: 2, dash: "10 4 2 4" },
    { name: "task 3, old points held", number: 1 },
  ]);
  const head = make("p", { class: "hl-head" }, "how far the weights moved");
  const said = make("p", { class: "hl-said", role: "status" });
  stage.classList.add("hl-board");
  stage.append(
    make("div", { class: "hl-charts" }, board.element),
    make("div", { class: "hl-controls" }, strength.element, head, key.element),
    said,
  );

  function update() {
    curves = learn(start, state.places, state.beta, training);
    const { before, alone, pinned } = curves;
    board.update();
    strength.set(state.beta);
    key.set(["", moved(before, alone).toFixed(2), moved(before, pinned).toFixed(2)]);
    const [at, value] = state.places.at(-1);
    const far = [missed(alone, state.places), missed(pinned, state.places), Math.abs(curve(pinned, at) - value)];
    const [free, old, fresh] = far.map((value) => value.toFixed(3));
    said.textContent = `Held, the curve misses an old point by ${old} at most and the new one by ${fresh}; alone, an old point by ${free}.`;
  }
  const soon = oncePerFrame(update);
  return update;
}

const signless = (value) => String(value).replace("-", "−");
