// Draws what a run has come to: maps of the plane, digits, curves. One colour stands for one task everywhere: for the
// coloured side of its map, for its curve and for its number.
(function (hl) {
  const TASK_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"]; // Okabe and Ito
  const SHOWN = 60; // points of a map
  const GRID = 32; // places along a side of a map that the network is asked about

  /** The page's own colours, which change with its theme. */
  function themeOf(element) {
    const style = getComputedStyle(element);
    const value = (name) => style.getPropertyValue(name).trim();
    return { text: value("--pst-color-text-base"), muted: value("--pst-color-text-muted"), ground: value("--hl-ground") };
  }

  /** A canvas's context in CSS pixels, cleared, with its width and height. */
  function prepared(canvas) {
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = window.devicePixelRatio || 1;
    const [columns, rows] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    return { context, width, height };
  }

  const places = new Float64Array(2 * GRID * GRID); // the middle of each cell, from the top left on
  for (let i = 0; i < GRID * GRID; i++) {
    places[2 * i] = (2 * ((i % GRID) + 0.5)) / GRID - 1;
    places[2 * i + 1] = 1 - (2 * (Math.floor(i / GRID) + 0.5)) / GRID;
  }

  function channels(color) {
    return [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
  }

  /** The side of the plane that a network counts to class 1, in the task's colour, and some of the task's test points. */
  function drawMap(canvas, learner, task, number, theme) {
    const { context, width, height } = prepared(canvas);
    const color = TASK_COLORS[number];
    const logits = learner.outputs(places, number);
    const image = new ImageData(GRID, GRID);
    const rgb = channels(color);
    for (let i = 0; i < GRID * GRID; i++) {
      const p = 1 / (1 + Math.exp(logits[2 * i] - logits[2 * i + 1]));
      const edge = Math.min(1, Math.max(0, 3 * (p - 0.5) + 0.5)); // sharper than the network's own doubt
      image.data.set([...rgb, 140 * edge], 4 * i);
    }
    const small = new OffscreenCanvas(GRID, GRID);
    small.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingQuality = "high";
    context.drawImage(small, 0, 0, width, height);

    const radius = Math.max(1.6, width / 40);
    for (let i = 0; i < SHOWN; i++) {
      context.beginPath();
      const [x, y] = task.test.x.subarray(2 * i, 2 * i + 2);
      context.arc(((x + 1) * width) / 2, ((1 - y) * height) / 2, radius, 0, 2 * Math.PI);
      context.fillStyle = task.test.y[i] ? color : theme.ground;
      context.fill();
      context.lineWidth = 0.8;
      context.strokeStyle = theme.text;
      context.stroke();
    }
  }

  /** Nine test digits, of which those that are read wrong are crossed out. */
  function drawDigits(canvas, learner, task, number, side, theme) {
    const { context, width } = prepared(canvas);
    const [color, cell] = [channels(TASK_COLORS[number]), width / 3];
    const size = side * side;
    const answers = hl.largest(learner.outputs(task.test.x.subarray(0, 9 * size), number), 2);
    const ink = theme.dark ? 255 : 0;
    for (let i = 0; i < 9; i++) {
      const image = new ImageData(side, side);
      for (let k = 0; k < size; k++) image.data.set([ink, ink, ink, 255 * task.test.x[i * size + k]], 4 * k);
      const small = new OffscreenCanvas(side, side);
      small.getContext("2d").putImageData(image, 0, 0);
      const [x, y] = [(i % 3) * cell, Math.floor(i / 3) * cell];
      const right = answers[i] === task.test.y[i];
      if (right) {
        context.fillStyle = `rgb(${color.join(" ")} / 35%)`;
        context.fillRect(x + 1, y + 1, cell - 2, cell - 2);
      }
      context.imageSmoothingEnabled = false;
      context.globalAlpha = right ? 1 : 0.45;
      context.drawImage(small, x + 2, y + 2, cell - 4, cell - 4);
      context.globalAlpha = 1;
      if (!right) {
        context.strokeStyle = theme.text;
        context.lineWidth = 1.5;
        context.beginPath();
        context.moveTo(x + 4, y + cell - 4);
        context.lineTo(x + cell - 4, y + 4);
        context.stroke();
      }
    }
  }

  /** Accuracy on each task over all steps, a line from where the task begins. */
  function drawCurves(canvas, run, entry, theme) {
    const { context, width, height } = prepared(canvas);
    const [left, right, top, bottom] = [26, 12, 8, 18];
    const tasks = run.benchmark.tasks.length;
    const x = (steps) => left + ((width - left - right) * steps) / (tasks * run.settings.steps);
    const y = (accuracy) => top + (height - top - bottom) * (1 - accuracy);
    context.font = "11px sans-serif";
    context.lineWidth = 1;
    for (const accuracy of [0, 0.5, 1]) {
      context.strokeStyle = theme.muted;
      context.globalAlpha = 0.35;
      context.beginPath();
      context.moveTo(left, y(accuracy));
      context.lineTo(width - right, y(accuracy));
      context.stroke();
      context.globalAlpha = 1;
      context.fillStyle = theme.muted;
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(String(100 * accuracy), left - 5, y(accuracy));
    }
    context.textAlign = "center";
    for (let task = 0; task < tasks; task++) {
      const [from, to] = [x(task * run.settings.steps), x((task + 1) * run.settings.steps)];
      context.fillStyle = TASK_COLORS[task];
      context.fillRect(from + 1, height - bottom + 1, to - from - 2, 3);
      context.fillStyle = theme.muted;
      context.fillText(`${task + 1}`, (from + to) / 2, height - 6);
    }
    context.lineWidth = 1.8;
    context.lineJoin = "round";
    entry.curves.forEach((curve, task) => {
      context.strokeStyle = TASK_COLORS[task];
      context.beginPath();
      curve.forEach(([steps, accuracy]) => context.lineTo(x(steps), y(accuracy)));
      context.stroke();
    });
  }

  // Of the map "cividis", which is read alike with and without colour vision.
  const CIVIDIS = ["#00224e", "#2a3f6d", "#575d6d", "#7d7c78", "#a69d75", "#d3c164", "#fee838"].map(channels);

  /** WCAG 2's relative luminance of a colour; where it is above 0.179, black is read better than white. */
  function luminance(rgb) {
    const linear = rgb.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  }

  /** The colour of an accuracy, and of a text on it. */
  function heat(accuracy) {
    const place = accuracy * (CIVIDIS.length - 1);
    const low = Math.min(Math.floor(place), CIVIDIS.length - 2);
    const mixed = CIVIDIS[low].map((value, i) => Math.round(value + (place - low) * (CIVIDIS[low + 1][i] - value)));
    return { ground: `rgb(${mixed})`, text: luminance(mixed) > 0.179 ? "#000" : "#fff" };
  }

  Object.assign(hl, { TASK_COLORS, drawCurves, drawDigits, drawMap, heat, themeOf });
})((globalThis.hyperlearn ??= {}));
