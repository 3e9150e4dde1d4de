// What a reader can set, and how the address of the page says it: #tasks=moons&method=finetune,hypernet&beta=0.
(function (hl) {
  // What the page offers. An address may ask for other numbers within `least` and `most`.
  const NUMBERS = {
    rate: { offered: [0.001, 0.002, 0.005, 0.01, 0.02], least: 1e-6, most: 1 },
    steps: { offered: [50, 100, 200, 300, 500, 1000], least: 1, most: 5000, whole: true },
    lambda: { offered: [0, 1, 10, 100, 1000, 10000, 100000], least: 0, most: 1e9 },
    kept: { offered: [0, 1, 2, 5, 10, 20, 50], least: 0, most: 100, whole: true },
    beta: { offered: [0, 0.001, 0.01, 0.1, 1, 10], least: 0, most: 1e6 },
    chunk: { offered: [10, 20, 40, 50, 80, 160, 320], least: 1, most: 5000, whole: true },
    seed: { offered: [1, 2, 3, 4, 5], least: 0, most: 1e9, whole: true },
  };
  const NAMES = { scenario: ["cl1", "cl2"] }; // of these one is chosen
  const DEFAULTS = { scenario: "cl1", kept: 10, beta: 0.1, seed: 1 };
  const METHODS = {
    finetune: { label: "Finetune", make: "Finetune" },
    hypernet: { label: "Hypernetwork", make: "Hypernet" },
    ewc: { label: "EWC", make: "EWC" },
    replay: { label: "Replay buffer", make: "Replay" },
  };

  function defaults(tasks) {
    return { tasks, method: Object.keys(METHODS), ...DEFAULTS, ...hl.BENCHMARKS[tasks].defaults };
  }

  /** The settings that an address's fragment asks for; what it leaves out, or what there is not, is the default. */
  function read(fragment) {
    const asked = new URLSearchParams(fragment.replace(/^#/, ""));
    const settings = defaults(Object.hasOwn(hl.BENCHMARKS, asked.get("tasks")) ? asked.get("tasks") : "moons");
    for (const [name, { least, most, whole }] of Object.entries(NUMBERS)) {
      const text = asked.get(name);
      const value = Number(text);
      if (text && value >= least && value <= most && (!whole || Number.isInteger(value))) settings[name] = value;
    }
    for (const [name, known] of Object.entries(NAMES)) {
      if (known.includes(asked.get(name))) settings[name] = asked.get(name);
    }
    const methods = (asked.get("method") ?? "").split(",").filter((name) => Object.hasOwn(METHODS, name));
    if (methods.length) settings.method = Object.keys(METHODS).filter((name) => methods.includes(name));
    return settings;
  }

  /** The fragment that `read` makes the same settings of: all of them, so that it stays right when a default changes. */
  function written(settings) {
    return Object.entries(settings)
      .map(([name, value]) => `${name}=${value}`)
      .join("&");
  }

  Object.assign(hl, { METHODS, NUMBERS, defaults, readSettings: read, writeSettings: written });
})((globalThis.hyperlearn ??= {}));
