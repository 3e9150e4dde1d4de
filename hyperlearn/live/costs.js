// What is kept for old tasks, and what is computed for them in a step, by way of holding them.

const WAYS = ["direct", "gram", "importance", "buffer"];

// For `old` tasks, in numbers kept and in multiplications of the forward pass. A hypernetwork has chunks of a size, a last
// layer from `width` features, with `bias` 1 or 0, and needs `feature` multiplications for the features of a chunk.
function bill({ chunk, width, bias, feature }, { size, perImage, pixels, batch }, old, images) {
  const chunks = Math.ceil(size / chunk);
  const columns = width + bias;
  const features = chunks * feature;
  const written = features + chunks * chunk * width; // a whole network
  // The Gram form: products of V = [W - W*, W*] with its first columns, and of the rows [A, A - A*] of each task. A last
  // chunk that is cut has a part of W for itself.
  const side = columns + width;
  const pieces = size % chunk ? 2 : 1;
  const rows = pieces * chunks * side * (side + columns);
  const head = columns * chunk;
  return {
    direct: { kept: old * size, work: old * written },
    gram: { kept: head + 2 * width ** 2 + old * chunks * width, work: columns * side * chunk + old * (features + rows) },
    importance: { kept: head + old * (chunks * width + size), work: written + chunks * chunk * width },
    buffer: { kept: old * images * pixels, work: batch * perImage },
  };
}

// Trainable parameters over the target's, for all tasks so far and the present one.
function ratio({ chunk, width, bias, fixed, task, address }, size, tasks) {
  return (fixed + tasks * task + Math.ceil(size / chunk) * address + (width + bias) * chunk) / size;
}

function costs(stage, { hypernets, target, most, smallest, first }) {
  const state = { number: 0, chunk: hypernets[0].chunk, ...first };
  const hypernet = () => ({ ...hypernets[state.number], chunk: state.chunk });
  const at = (old = state.old) => bill(hypernet(), target, old, state.images);
  const units = { kept: target.size, work: target.batch * target.perImage };
  const set = (changes) => {
    Object.assign(state, changes);
    soon();
  };
  const styles = {
    direct: { name: "output regulariser, direct", number: 2, dash: "10 4 2 4" },
    gram: { name: "output regulariser, Gram form", number: 1, dash: "" },
    importance: { name: "IWR, one old task a step", number: 4, dash: "6 4" },
    buffer: { name: "replay of stored images", number: 3, dash: "2 4" },
  };
  const counts = Array.from({ length: 81 }, (_, i) => most ** (i / 80));
  const plot = (what, label, low, high, ticks) => {
    const limit = (value) => clamp(value, low / 10, high * 10); // off the chart, but not to infinity
    return chart({
      label: `${label}, against the number of old tasks`,
      x: () => ({ from: 1, to: most, log: true, label: "old tasks", ticks: [1, 2, 5, 10, 20, 50, 100, 200].filter((n) => n <= most) }),
      y: () => ({ from: low, to: high, log: true, label, ticks }),
      height: () => 218,
      marks: (axes) =>
        WAYS.map((way) => {
          const { number, dash } = styles[way];
          const points = counts.map((old) => [axes.x.at(old), axes.y.at(limit(at(old)[way][what] / units[what]))]);
          return line(points, { stroke: tint(number), "stroke-dasharray": dash, "stroke-width": way === "gram" ? 3 : 2 });
        }),
      drag: "along",
      handles: [
        {
          label: `Old tasks, at ${label}; arrow keys change their number`,
          number: 1,
          at: () => [state.old, at().gram[what] / units[what]],
          move: (old) => set({ old: clamp(Math.round(old), 1, most) }),
          nudge: (dx, dy) => set({ old: clamp(state.old + dx + dy, 1, most) }),
          text: () => `${state.old} old tasks, ${short(at().gram[what] / units[what])} in the Gram form`,
        },
      ],
    });
  };
  const boards = [
    plot("kept", "networks kept", 0.01, 300, [0.01, 0.1, 1, 10, 100]),
    plot("work", "batches a step", 0.01, 300, [0.01, 0.1, 1, 10, 100]),
  ];

  const grouped = (value) => value.toLocaleString("en");
  const whole = { round: Math.round, log: true };
  const ranges = {
    old: range({ label: "old tasks", from: 1, to: most, ...whole, change: (old) => set({ old }) }),
    chunk: range({ label: "chunk size", from: smallest, to: target.size, steps: 200, text: grouped, ...whole, change: (chunk) => set({ chunk }) }),
    images: range({ label: "stored images a task", from: 1, to: 1000, ...whole, change: (images) => set({ images }) }),
  };
  const kind = choice({
    label: "hypernetwork",
    names: hypernets.map(({ name }) => name),
    change: (number) => set({ number, chunk: hypernets[number].chunk }),
  });
  const key = legend(WAYS.map((way) => styles[way]));
  const head = make("p", { class: "hl-head" }, "networks kept · batches a step");
  const said = make("p", { class: "hl-said", role: "status" });
  stage.classList.add("hl-board");
  stage.append(
    make("div", { class: "hl-charts" }, ...boards.map(({ element }) => element)),
    make("div", { class: "hl-controls" }, kind.element, ...Object.values(ranges).map(({ element }) => element), head, key.element),
    said,
  );

  function update() {
    const now = at();
    const share = (way, what) => short(now[way][what] / units[what]);
    for (const board of boards) board.update();
    for (const [name, range] of Object.entries(ranges)) range.set(state[name]);
    kind.set(state.number);
    key.set(WAYS.map((way) => `${share(way, "kept")} · ${share(way, "work")}`));
    const trained = short(ratio(hypernet(), target.size, state.old + 1));
    said.textContent = `Compression ratio ${trained}. With ${state.old} old tasks the direct form multiplies ${short(now.direct.work / now.gram.work)} times as much as the Gram form, and keeps ${short(now.direct.kept / now.gram.kept)} times as much.`;
  }
  const soon = oncePerFrame(update);
  return update;
}
