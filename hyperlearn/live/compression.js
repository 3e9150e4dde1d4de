// The compression ratio: what a hypernetwork trains, counted, beside the network that it writes.

// Trainable parameters by part. A chunked hypernetwork has two hidden layers, with biases; an LSTM has neither.
function parts({ kind, chunk, width, task, address }, size, tasks) {
  const inputs = task + address;
  const lstm = kind === "lstm";
  return {
    "task embeddings": tasks * task,
    "chunk embeddings": Math.ceil(size / chunk) * address,
    [lstm ? "gates" : "hidden layers"]: lstm ? 4 * width * (inputs + width) : (inputs + 1 + width + 1) * width,
    "last layer": (lstm ? width : width + 1) * chunk,
  };
}

const total = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

function compression(stage, { targets, kinds, tasks, smallest, first }) {
  const state = { target: 0, ...first };
  const size = () => targets[state.target].layers.reduce((sum, count) => sum + count, 0);
  const counted = (chunk = state.chunk) => parts({ ...state, chunk }, size(), tasks);
  const set = (changes) => {
    Object.assign(state, changes);
    state.chunk = clamp(state.chunk, smallest, size());
    soon();
  };

  /* The target, cut in chunks, and the hypernetwork, on one scale. */
  const bars = ["target", "hypernetwork"].map((name) => {
    const bar = shape("svg", { height: 26, width: "100%", preserveAspectRatio: "none", role: "img" });
    const head = make("p", { class: "hl-head" });
    return { name, bar, head, element: make("div", {}, head, bar) };
  });
  function drawBars(counts) {
    const longest = Math.max(size(), total(counts));
    const pieces = (values, tints) => {
      let from = 0;
      return values.map((value, i) => {
        from += value;
        return shape("rect", { x: from - value, y: 0, width: value, height: 1, fill: tints(i) });
      });
    };
    const [target, hyper] = bars;
    target.head.textContent = `the target, ${size().toLocaleString("en")} parameters in ${chunks(size())}`;
    hyper.head.textContent = `its hypernetwork, ${total(counts).toLocaleString("en")} trainable parameters`;
    for (const { bar, head } of bars) {
      bar.setAttribute("viewBox", `0 0 ${longest} 1`);
      bar.setAttribute("aria-label", head.textContent);
    }
    const cuts = Math.ceil(size() / state.chunk) - 1;
    // Hundreds of cuts are a gray area.
    const path = Array.from({ length: Math.min(cuts, 400) }, (_, i) => `M${((i + 1) * size()) / (cuts + 1)},0V1`);
    if (cuts < 400) path.splice(0, cuts, ...path.map((_, i) => `M${(i + 1) * state.chunk},0V1`));
    const lines = shape("path", { d: path.join(""), stroke: "var(--ink)", "vector-effect": "non-scaling-stroke" });
    const shades = (i) => `color-mix(in srgb, var(--quiet) ${[45, 25][i % 2]}%, var(--paper))`;
    target.bar.replaceChildren(...pieces(targets[state.target].layers, shades), lines);
    hyper.bar.replaceChildren(...pieces(Object.values(counts), (i) => tint([5, 2, 4, 3][i])));
  }
  const chunks = (size) => {
    const count = Math.ceil(size / state.chunk);
    return count === 1 ? "one chunk" : `${count.toLocaleString("en")} chunks`;
  };

  /* The ratio over all chunk sizes. */
  const sizes = () => Array.from({ length: 161 }, (_, i) => axis({ from: smallest, to: size(), log: true }, 0, 160).value(i));
  function marks(axes) {
    const part = (name) => sizes().map((chunk) => [axes.x.at(chunk), axes.y.at(counted(chunk)[name] / size())]);
    const whole = sizes().map((chunk) => [axes.x.at(chunk), axes.y.at(total(counted(chunk)) / size())]);
    return [
      line([0, axes.inner[0]].map((x) => [x, axes.y.at(1)]), { stroke: "var(--ink)", "stroke-dasharray": "2 4" }),
      line(part("chunk embeddings"), { stroke: tint(2), "stroke-dasharray": "7 4", "stroke-width": 1.5 }),
      line(part("last layer"), { stroke: tint(3), "stroke-dasharray": "7 4", "stroke-width": 1.5 }),
      line(whole, { stroke: tint(1), "stroke-width": 2.5 }),
    ];
  }
  const grouped = (value) => value.toLocaleString("en");
  const ticks = [0.01, 0.1, 1, 10, 100];
  const board = chart({
    label: "The compression ratio against the chunk size",
    x: () => ({
      from: smallest,
      to: size(),
      log: true,
      label: "chunk size",
      ticks: [100, 1000, 10000, 100000].filter((tick) => tick <= size()),
      text: grouped,
    }),
    y: () => ({ from: 0.005, to: 200, log: true, label: "parts of the target's size", ticks }),
    height: (width) => clamp(0.62 * width, 230, 300),
    marks,
    drag: "along",
    handles: [
      {
        label: "Chunk size; arrow keys change it",
        number: 1,
        at: () => [state.chunk, total(counted()) / size()],
        move: (chunk) => set({ chunk: Math.round(chunk) }),
        nudge: (dx, dy) => {
          const way = dx + dy;
          set({ chunk: state.chunk + Math.sign(way) * Math.max(1, Math.round(state.chunk * (1.02 ** Math.abs(way) - 1))) });
        },
        text: () => `chunks of ${grouped(state.chunk)}, ratio ${short(total(counted()) / size())}`,
      },
    ],
  });

  const whole = { round: Math.round, log: true };
  const ranges = {
    width: range({ label: "width of the hidden layers", from: 2, to: 128, ...whole, change: (width) => set({ width }) }),
    task: range({ label: "size of a task embedding", from: 2, to: 256, ...whole, change: (task) => set({ task }) }),
    address: range({ label: "size of a chunk embedding", from: 2, to: 256, ...whole, change: (address) => set({ address }) }),
  };
  const target = choice({ label: "target", names: targets.map(({ name }) => name), change: (target) => set({ target }) });
  const kind = choice({
    label: "hypernetwork",
    names: kinds.map(({ name }) => name),
    change: (number) => set({ kind: kinds[number].kind, width: kinds[number].width }),
  });
  const rows = legend([
    { name: "task embeddings", number: 5 },
    { name: "chunk embeddings", number: 2 },
    { name: "hidden layers or gates", number: 4 },
    { name: "last layer", number: 3 },
    { name: "together: the ratio", number: 1 },
  ]);
  const head = make("p", { class: "hl-head" }, "trained, in parts of the target's size");
  const controls = [target, kind, ...Object.values(ranges)].map(({ element }) => element);
  const said = make("p", { class: "hl-said", role: "status" });
  stage.classList.add("hl-board");
  stage.append(
    make("div", { class: "hl-charts" }, ...bars.map(({ element }) => element), board.element),
    make("div", { class: "hl-controls" }, ...controls, head, rows.element),
    said,
  );

  function update() {
    const counts = counted();
    const ratio = total(counts) / size();
    drawBars(counts);
    board.update();
    for (const [name, range] of Object.entries(ranges)) range.set(state[name]);
    target.set(state.target);
    kind.set(kinds.findIndex(({ kind }) => kind === state.kind));
    rows.set([...Object.values(counts).map((count) => short(count / size())), short(ratio)]);
    said.textContent = `Chunks of ${grouped(state.chunk)}: ${grouped(total(counts))} parameters write ${grouped(size())}, a compression ratio of ${short(ratio)}.`;
  }
  const soon = oncePerFrame(update);
  return update;
}
