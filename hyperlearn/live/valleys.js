// Two valleys: a quadratic loss for each of two tasks, and where training ends that is tied to the first by a penalty.

// A symmetric matrix [[a, b], [b, c]] is written [a, b, c]. This one has two curvatures, turned by an angle in degrees.
function valley([steep, flat], angle) {
  const [cos, sin] = [Math.cos, Math.sin].map((of) => of((angle * Math.PI) / 180));
  return [steep * cos ** 2 + flat * sin ** 2, (steep - flat) * sin * cos, steep * sin ** 2 + flat * cos ** 2];
}

const add = (one, other) => one.map((value, i) => value + other[i]);
const times = ([a, b, c], [x, y]) => [a * x + b * y, b * x + c * y];
const solve = ([a, b, c], [r, s]) => [(c * r - b * s) / (a * c - b * b), (a * s - b * r) / (a * c - b * b)];

// Half the curvature along the way from the bottom to a place: the loss there.
function height(curvature, bottom, place) {
  const way = [place[0] - bottom[0], place[1] - bottom[1]];
  const slope = times(curvature, way);
  return (way[0] * slope[0] + way[1] * slope[1]) / 2;
}

// Where two such losses together are smallest.
const lowest = (one, bottom, other, otherBottom) =>
  solve(add(one, other), add(times(one, bottom), times(other, otherBottom)));

// Where the loss of task 2 plus a penalty is smallest: strength / 2 times the squared distances from the bottom of task 1,
// each weight with its importance.
const tied = (second, bottom2, importance, bottom1, strength) =>
  lowest(second, bottom2, [strength * importance[0], 0, strength * importance[1]], bottom1);

// The two half-axes of the ellipse where a loss has a height, and the angle of the first in degrees.
function ellipse([a, b, c], level) {
  const [mean, half] = [(a + c) / 2, Math.hypot((a - c) / 2, b)];
  const angle = (Math.atan2(2 * b, a - c) * 90) / Math.PI;
  return { radii: [mean + half, mean - half].map((curvature) => Math.sqrt((2 * level) / curvature)), angle };
}

// In words, how EWC and equal weights do; `extra` is how much more both tasks lose together than at the best place.
function verdict(extra) {
  const [ewc, equal] = extra;
  if (ewc < 0.005) return "EWC ends at the best place for both tasks: here its map of the first valley is exact.";
  const than = `${short(ewc)} more than at the best place; with equal weights it is ${short(equal)} more.`;
  return `With EWC both tasks together lose ${than}`;
}

function valleys(stage, { bottoms, curvatures, second, window: view, strengths, levels, angle, strength }) {
  const state = { angle, strength };
  const path = Array.from({ length: 141 }, (_, i) => axis({ ...strengths, log: true }, 0, 140).value(i));
  const now = () => {
    const first = valley(curvatures, state.angle);
    const at = (importance, strength) => tied(second, bottoms[1], importance, bottoms[0], strength);
    return { first, at, ewc: [first[0], first[2]], equal: [1, 1] };
  };
  const both = (first, place) => height(first, bottoms[0], place) + height(second, bottoms[1], place);

  function rings(axes, curvature, bottom, heights, attributes) {
    const unit = axes.x.at(1) - axes.x.at(0);
    return heights.map((level) => {
      const { radii, angle } = ellipse(curvature, level);
      const [x, y] = [axes.x.at(bottom[0]), axes.y.at(bottom[1])];
      const size = { rx: radii[0] * unit, ry: radii[1] * unit };
      return shape("ellipse", { ...size, transform: `translate(${x},${y}) rotate(${-angle})`, fill: "none", ...attributes });
    });
  }

  function marks(axes) {
    const { first, at, ewc, equal } = now();
    const place = ([x, y]) => [axes.x.at(x), axes.y.at(y)];
    const dot = (where, radius, fill) => {
      const [cx, cy] = place(where);
      return shape("circle", { cx, cy, r: radius, fill, stroke: "var(--paper)", "stroke-width": 1.5 });
    };
    const name = (where, text, down) => {
      const [x, y] = place(where);
      return shape("text", { class: "hl-name", x: x + 8, y: y + down }, text);
    };
    const star = place(lowest(first, bottoms[0], second, bottoms[1]));
    const beams = Array.from({ length: 10 }, (_, i) => {
      const [radius, turn] = [i % 2 ? 5 : 11, (i * Math.PI) / 5];
      return `${star[0] + radius * Math.sin(turn)},${star[1] - radius * Math.cos(turn)}`;
    });
    const map = [ewc[0], 0, ewc[1]].map((value) => value * state.strength);
    return [
      ...rings(axes, first, bottoms[0], levels[0], { stroke: tint(1), "stroke-width": 1.3 }),
      ...rings(axes, second, bottoms[1], levels[1], { stroke: tint(2), "stroke-width": 1.3 }),
      ...rings(axes, map, bottoms[0], levels[0].slice(1, 2), { stroke: tint(6), "stroke-width": 2, "stroke-dasharray": "2 4" }),
      line(path.map((value) => place(at(equal, value))), { stroke: "var(--ink)", "stroke-dasharray": "6 4" }),
      line(path.map((value) => place(at(ewc, value))), { stroke: "var(--ink)" }),
      dot(bottoms[0], 6, tint(1)),
      dot(bottoms[1], 6, tint(2)),
      name(bottoms[0], "task 1", 18),
      name(bottoms[1], "task 2", -8),
      shape("polygon", { points: beams.join(" "), fill: tint(3), stroke: "var(--ink)" }),
      dot(at(equal, state.strength), 6, "var(--quiet)"),
    ];
  }

  /* What the reader moves: the minimum along EWC's path, and the end of the first valley. */
  const along = (place) => {
    const { at, ewc } = now();
    const far = path.map((value) => Math.hypot(...at(ewc, value).map((value, i) => value - place[i])));
    return path[far.indexOf(Math.min(...far))];
  };
  const next = (steps) => path[clamp(path.indexOf(along(now().at(now().ewc, state.strength))) + steps, 0, path.length - 1)];
  const tip = () => {
    const turn = ((state.angle + 90) * Math.PI) / 180;
    return [bottoms[0][0] + 1.1 * Math.cos(turn), bottoms[0][1] + 1.1 * Math.sin(turn)];
  };
  const set = (changes) => {
    Object.assign(state, changes);
    soon();
  };
  const turned = (x, y) => {
    const degrees = (Math.atan2(y - bottoms[0][1], x - bottoms[0][0]) * 180) / Math.PI - 90;
    return Math.round(((degrees + 450) % 180) - 90);
  };
  const tilt = (degrees) => clamp(degrees, -90, 90);
  const board = chart({
    label: "The losses of two tasks over two weights, and where training ends",
    x: () => ({ from: view[0][0], to: view[0][1], label: "weight 1", ticks: [-1, 0, 1, 2, 3] }),
    y: () => ({ from: view[1][0], to: view[1][1], label: "weight 2", ticks: [-1, 0, 1, 2] }),
    // One unit is as long upwards as across.
    height: (width) =>
      MARGIN.top +
      MARGIN.bottom +
      ((width - MARGIN.left - MARGIN.right) * (view[1][1] - view[1][0])) / (view[0][1] - view[0][0]),
    marks,
    handles: [
      {
        label: "Strength of EWC; arrow keys move it along its path",
        at: () => now().at(now().ewc, state.strength),
        move: (x, y) => set({ strength: along([x, y]) }),
        nudge: (dx, dy) => set({ strength: next(dx + dy) }),
        text: () => `strength ${short(state.strength)}`,
      },
      {
        label: "Tilt of the first valley; arrow keys turn it",
        number: 1,
        at: tip,
        move: (x, y) => set({ angle: turned(x, y) }),
        nudge: (dx, dy) => set({ angle: tilt(state.angle + dx + dy) }),
        text: () => `tilted by ${state.angle} degrees`,
      },
    ],
  });
  const ranges = {
    strength: range({ label: "strength λ", ...strengths, log: true, steps: 140, text: short, change: (strength) => set({ strength }) }),
    angle: range({
      label: "tilt of the first valley",
      from: -90,
      to: 90,
      steps: 180,
      text: (value) => `${value}°`.replace("-", "−"),
      round: Math.round,
      change: (angle) => set({ angle }),
    }),
  };
  const key = legend([
    { name: "EWC", number: 0 },
    { name: "equal weights", number: 0, dash: "6 4" },
    { name: "best for both", mark: "★" },
    { name: "EWC's map of the first valley", number: 6, dash: "2 4" },
  ]);
  const head = make("p", { class: "hl-head" }, "loss of both tasks together");
  const controls = make("div", { class: "hl-controls" }, ranges.strength.element, ranges.angle.element, head, key.element);
  const said = make("p", { class: "hl-said", role: "status" });
  stage.classList.add("hl-board");
  stage.append(make("div", { class: "hl-charts" }, board.element), controls, said);

  function update() {
    const { first, at, ewc, equal } = now();
    const best = both(first, lowest(first, bottoms[0], second, bottoms[1]));
    const losses = [ewc, equal].map((importance) => both(first, at(importance, state.strength)));
    board.update();
    for (const [name, range] of Object.entries(ranges)) range.set(state[name]);
    key.set([...losses, best].map((loss) => loss.toFixed(2)));
    said.textContent = verdict(losses.map((loss) => loss - best));
  }
  const soon = oncePerFrame(update);
  return update;
}
