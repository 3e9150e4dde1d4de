// What is learnt: toys in the plane, drawn from a seed, and the digits of scikit-learn, two at a time.
//
// A benchmark has a list of tasks, each with the examples to train and to test on: x [n, inputs], y [n] labels within the
// task, t [n] the task. Points of the plane lie in the square from -1 to 1, pixels in [0, 1].
(function (hl) {
  const POINTS = 200; // to train on in a task of the plane, and as many to test on

  function turned([x, y], degrees) {
    const [cosine, sine] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    return [cosine * x - sine * y, sine * x + cosine * y];
  }

  // Each of these draws a point of the class `label`, 0 or 1.

  /** Two interlocking half circles. */
  function moon(random, label) {
    const angle = random.between(0, Math.PI);
    const side = label ? -1 : 1;
    const [x, y] = [side * (Math.cos(angle) - 0.5), side * (Math.sin(angle) - 0.25)];
    return [0.55 * x + 0.06 * random.normal(), 0.55 * y + 0.06 * random.normal()];
  }

  /** Two arms of a spiral. */
  function spiral(random, label) {
    const along = Math.sqrt(random.between(0.02, 1));
    const angle = 3.6 * along + (label ? Math.PI : 0);
    const at = (value) => 0.9 * along * value + 0.03 * random.normal();
    return [at(Math.cos(angle)), at(Math.sin(angle))];
  }

  /** All of the square, where `inside` says which class a place has. */
  function region(inside) {
    return (random, label) => {
      for (;;) {
        const [x, y] = [random.between(-0.95, 0.95), random.between(-0.95, 0.95)];
        if (inside(x, y) === Boolean(label)) return [x, y];
      }
    };
  }

  /** The two halves of a small disc around (x, y). */
  function halves(x, y, degrees) {
    return (random, label) => {
      const [radius, angle] = [0.36 * Math.sqrt(random.uniform()), random.between(0.1, Math.PI - 0.1)];
      const point = [radius * Math.cos(angle), radius * Math.sin(angle)];
      const [a, b] = turned(point, degrees + (label ? 0 : 180));
      return [x + a, y + b];
    };
  }

  // `hidden` are the layers of the network that learns a task, `writer` those of the hypernetwork that writes it. The
  // defaults of a benchmark are those settings by which another one would not be served well.
  const TOYS = {
    moons: {
      hidden: [24, 24, 24],
      writer: [16],
      defaults: { rate: 0.005, lambda: 1000, chunk: 40, steps: 300 },
      tasks: [0, 72, 144, 216, 288].map((degrees) => ({
        label: `${degrees}°`,
        draw: (random, label) => turned(moon(random, label), degrees),
      })),
    },
    shapes: {
      hidden: [32, 32],
      writer: [16],
      defaults: { rate: 0.005, lambda: 100, chunk: 40, steps: 300 },
      tasks: [
        { label: "disc", draw: region((x, y) => Math.hypot(x, y) < 0.6) },
        { label: "cross", draw: region((x, y) => x * y > 0) },
        { label: "spiral", draw: spiral },
        { label: "stripes", draw: region((x) => Math.cos(2 * Math.PI * x) < 0) },
        { label: "moons", draw: moon },
      ],
    },
    places: {
      hidden: [32, 32],
      writer: [16],
      defaults: { rate: 0.005, lambda: 1000, chunk: 40, steps: 300 },
      tasks: [
        { label: "top left", draw: halves(-0.6, 0.6, 0) },
        { label: "top right", draw: halves(0.6, 0.6, 90) },
        { label: "low right", draw: halves(0.6, -0.6, 180) },
        { label: "low left", draw: halves(-0.6, -0.6, 270) },
        { label: "centre", draw: halves(0, 0, 45) },
      ],
    },
  };

  /** So many points of a task, half of them of each class. */
  function points(draw, task, random) {
    const examples = { x: new Float64Array(2 * POINTS), y: [], t: [] };
    for (let i = 0; i < POINTS; i++) {
      examples.x.set(draw(random, i % 2), 2 * i);
      examples.y.push(i % 2);
      examples.t.push(task);
    }
    return examples;
  }

  function toy({ tasks }, seed) {
    const random = new hl.Random(seed);
    const drawn = tasks.map(({ label, draw }, task) => ({
      label,
      train: points(draw, task, random),
      test: points(draw, task, random),
    }));
    return { inputs: 2, classes: 2, tasks: drawn };
  }

  const SIDE = 8; // pixels
  const [BASE, FIRST, BACKSLASH] = [71, 35, 92];

  /** The pixels [n, 64] in [0, 1], of which each pair of characters holds three; book/site_playground.py wrote them. */
  function decoded(text) {
    const values = [];
    const digit = (character) => character - FIRST - (character > BACKSLASH ? 1 : 0);
    for (let i = 0; i < text.length; i += 2) {
      const three = BASE * digit(text.charCodeAt(i)) + digit(text.charCodeAt(i + 1));
      values.push(Math.floor(three / 289), Math.floor(three / 17) % 17, three % 17);
    }
    return Float64Array.from(values.slice(0, values.length - (values.length % SIDE ** 2)), (value) => value / 16);
  }

  const DIGITS = {
    hidden: [20, 20, 20],
    writer: [32],
    defaults: { rate: 0.005, lambda: 1000, chunk: 50, steps: 200 },
  };

  /** The digits 0 and 1, 2 and 3, and so on. Every fifth image of a digit is to test on, as in hyperlearn.data.digits. */
  function digits() {
    const pixels = decoded(hl.digitData.pixels);
    const labels = Array.from(hl.digitData.labels, Number);
    const seen = Array(10).fill(0);
    const isTest = labels.map((label) => seen[label]++ % 5 === 0);
    const part = (task, test) => {
      const rows = labels.flatMap((label, i) => (label >> 1 === task && isTest[i] === test ? [i] : []));
      const y = labels.map((label) => label % 2);
      return hl.take({ x: pixels, y, t: labels.map((label) => label >> 1) }, rows, SIDE ** 2);
    };
    const tasks = [0, 1, 2, 3, 4].map((task) => ({
      label: `${2 * task} or ${2 * task + 1}`,
      train: part(task, false),
      test: part(task, true),
    }));
    return { inputs: SIDE ** 2, classes: 2, side: SIDE, tasks };
  }

  const BENCHMARKS = {
    moons: { label: "two moons, turned", ...TOYS.moons, make: (seed) => toy(TOYS.moons, seed) },
    shapes: { label: "five shapes", ...TOYS.shapes, make: (seed) => toy(TOYS.shapes, seed) },
    places: { label: "five places", ...TOYS.places, make: (seed) => toy(TOYS.places, seed) },
    digits: { label: "digits, two at a time", ...DIGITS, make: digits },
  };

  Object.assign(hl, { BENCHMARKS });
})((globalThis.hyperlearn ??= {}));
