// The page: controls, the pace of training, and what is drawn when.
(function (hl) {
  const SECONDS = 16; // that a whole run is to take
  const BUSY = 14; // milliseconds of a frame that training may take
  const MAPS = 3; // that are drawn anew in a frame

  const CONTROLS = [
    ["rate", "learning rate"],
    ["steps", "steps a task"],
    ["lambda", "λ, EWC"],
    ["kept", "kept a task, replay buffer"],
    ["beta", "β, hypernetwork"],
    ["chunk", "chunk size, hypernetwork"],
    ["seed", "seed"],
  ];
  const SCENARIOS = { cl1: "told which task it is", cl2: "not told" };

  const root = document.getElementById("hl-playground");
  const find = (selector, within = root) => within.querySelector(selector);
  const number = (value) => value.toLocaleString("en-US", { maximumSignificantDigits: 15 });
  const percent = (fraction) => `${Math.round(100 * fraction)}%`;

  let settings, run, theme;
  let playing = false;
  let due = 0; // steps that the pace asks for and that are not taken yet
  let next = 0; // the map that is drawn next
  let last; // when the last frame was

  // ---- What stands in the page

  const select = (name, label, options) =>
    `<label>${label}<select name="${name}">${options
      .map(([value, text]) => `<option value="${value}">${text}</option>`)
      .join("")}</select></label>`;

  function build() {
    const tasks = Object.entries(hl.BENCHMARKS).map(([name, { label }]) => [name, label]);
    const numbers = CONTROLS.map(([name, label]) =>
      select(name, label, hl.NUMBERS[name].offered.map((value) => [value, number(value)])),
    );
    root.innerHTML = `
      <div class="hl-bar">
        <button type="button" class="hl-main" name="play">Play</button>
        <button type="button" name="step">Step</button>
        <button type="button" name="task">Next task</button>
        <button type="button" name="reset">Reset</button>
        <span class="hl-where"></span>
      </div>
      <ol class="hl-timeline" aria-hidden="true"></ol>
      <div class="hl-top">
        <fieldset class="hl-scores"><legend>Mean accuracy on the tasks so far</legend></fieldset>
        <div class="hl-settings">
          ${select("tasks", "tasks", tasks)}
          ${select("scenario", "at test time the network is", Object.entries(SCENARIOS))}
          ${numbers.join("")}
        </div>
      </div>
      <div class="hl-cards"></div>
      <table class="hl-stored">
        <caption>What each method stores, in numbers</caption>
        <thead><tr><th scope="col">method</th><th scope="col">trained</th><th scope="col">kept of old tasks</th>
        <th scope="col">held only while it learns</th></tr></thead><tbody></tbody>
      </table>
      <p class="hl-said" role="status"></p>`;
    find(".hl-scores").innerHTML += Object.entries(hl.METHODS)
      .map(
        ([name, { label }]) => `
        <label data-method="${name}"><input type="checkbox" name="method" value="${name}"><span>${label}</span>
        <i class="hl-track"><i></i></i><output></output></label>`,
      )
      .join("");
  }

  function card(entry) {
    const tasks = run.benchmark.tasks;
    const swatch = (task) => `<i class="hl-swatch" style="background:${hl.TASK_COLORS[task]}"></i>`;
    const maps = tasks.map(
      ({ label }, task) =>
        `<div><canvas role="img"></canvas><p>${swatch(task)}${label}<br><b data-task="${task}"></b></p></div>`,
    );
    const heads = tasks.map((_, task) => `<th scope="col">${swatch(task)}${task + 1}</th>`);
    const rows = tasks.map(
      (_, row) => `<tr><th scope="row">${row + 1}</th>${tasks.map(() => "<td></td>").join("")}</tr>`,
    );
    return `
      <section class="hl-card" data-method="${entry.name}" aria-label="${entry.label}">
        <p class="hl-name"><strong>${entry.label}</strong> <span></span></p>
        <div class="hl-maps">${maps.join("")}</div>
        <div class="hl-charts">
          <div><p class="hl-caption">accuracy on each task, %</p>
          <canvas class="hl-curves" role="img"></canvas></div>
          <table class="hl-matrix"><caption>% on task, after learning task</caption>
          <thead><tr><td></td>${heads.join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>
        </div>
      </section>`;
  }

  /** In words, what a method has against forgetting. */
  function defence({ name, learner }) {
    return {
      finetune: () => "keeps nothing of old tasks",
      ewc: () => "holds the weights that old tasks need",
      replay: () => `keeps ${settings.kept} examples of each old task`,
      hypernet: () =>
        `${learner.hypernet.taskDim} numbers a task become ${number(learner.target.numel)} weights, ` +
        `in ${number(learner.hypernet.chunks)} chunks`,
    }[name]();
  }

  // ---- Drawing

  function drawMap(entry, task) {
    const canvas = find(`[data-method=${entry.name}] .hl-maps`).children[task].firstElementChild;
    canvas.classList.toggle("hl-unseen", task >= run.seen);
    canvas.classList.toggle("hl-present", task === run.task);
    const what = `${entry.label} on task ${task + 1}, ${run.benchmark.tasks[task].label}`;
    if (task >= run.seen) {
      canvas.setAttribute("aria-label", `${what}: not learnt yet`);
      canvas.width = canvas.width; // clears it
      return;
    }
    canvas.setAttribute("aria-label", `${what}: ${percent(entry.now[task])} right`);
    const [learner, drawn] = [entry.learner, run.benchmark.tasks[task]];
    if (run.benchmark.side) hl.drawDigits(canvas, learner, drawn, task, run.benchmark.side, theme);
    else hl.drawMap(canvas, learner, drawn, task, theme);
  }

  function drawMatrix(entry, place) {
    entry.matrix.forEach((row, i) =>
      row.forEach((accuracy, j) => {
        const cell = find(".hl-matrix tbody", place).rows[i].cells[j + 1];
        cell.textContent = Math.round(100 * accuracy);
        cell.classList.toggle("hl-ahead", j > i);
        const { ground, text } = hl.heat(accuracy);
        if (j <= i) Object.assign(cell.style, { backgroundColor: ground, color: text });
      }),
    );
  }

  /** Numbers, bars, curves and matrices, which cost little. */
  function drawNumbers() {
    const { tasks } = run.benchmark;
    const where = run.finished
      ? "all tasks are learnt"
      : `task ${run.task + 1} of ${tasks.length}: ${tasks[run.task].label}, step ${run.done} of ${settings.steps}`;
    find(".hl-where").textContent = where;
    [...find(".hl-timeline").children].forEach((item, task) => {
      const part = task < run.task ? 1 : task === run.task ? run.done / settings.steps : 0;
      item.style.setProperty("--done", percent(part));
    });
    for (const entry of run.entries) {
      const score = find(`.hl-scores [data-method=${entry.name}]`);
      find("output", score).textContent = percent(run.mean(entry));
      find(".hl-track i", score).style.width = percent(run.mean(entry));
      const place = find(`.hl-card[data-method=${entry.name}]`);
      entry.now.forEach((accuracy, task) => (find(`[data-task="${task}"]`, place).textContent = percent(accuracy)));
      const curves = find(".hl-curves", place);
      hl.drawCurves(curves, run, entry, theme);
      const said = entry.now.map((accuracy, task) => `task ${task + 1} ${percent(accuracy)}`).join(", ");
      curves.setAttribute("aria-label", `Accuracy of each task over the steps, ${entry.label}. Now ${said}`);
      drawMatrix(entry, place);
    }
    find(".hl-stored tbody").innerHTML = run.entries
      .map(({ label, learner }) => {
        const { trained, kept, held } = learner.sizes();
        return `<tr><th scope="row">${label}</th>${[trained, kept, held].map((n) => `<td>${number(n)}</td>`).join("")}</tr>`;
      })
      .join("");
  }

  function drawMaps(count = Infinity) {
    const tasks = run.benchmark.tasks.length;
    const all = run.entries.length * tasks;
    for (let i = 0; i < Math.min(count, all); i++, next++) {
      const place = next % all;
      drawMap(run.entries[Math.floor(place / tasks)], place % tasks);
    }
  }

  function draw() {
    theme = { ...hl.themeOf(root), dark: document.documentElement.dataset.theme === "dark" };
    drawNumbers();
    drawMaps();
  }

  // ---- Training

  function show() {
    root.dataset.state = playing ? "playing" : run.finished ? "finished" : "paused";
    root.dataset.steps = run.steps;
    find("[name=play]").textContent = playing ? "Pause" : run.finished ? "Play again" : "Play";
    for (const name of ["step", "task"]) find(`[name=${name}]`).disabled = run.finished;
  }

  /** Tells those who do not see it how a task ended. */
  function say() {
    const means = run.entries.map((entry) => `${entry.label} ${percent(run.mean(entry))}`).join(", ");
    find(".hl-said").textContent = run.steps ? `${run.task} of ${run.benchmark.tasks.length} tasks learnt: ${means}` : "";
  }

  function step() {
    const before = run.task;
    run.step();
    if (run.task !== before) say();
  }

  function stop() {
    playing = false;
    draw();
    show();
  }

  /** Trains as much as the time since the last frame asks for, and draws. */
  function frame(now) {
    if (!playing) return;
    const total = run.benchmark.tasks.length * settings.steps;
    due = Math.min(due + (Math.min(now - last, 100) / 1000) * (total / SECONDS), total);
    last = now;
    const started = performance.now();
    while (due >= 1 && !run.finished && performance.now() - started < BUSY) {
      step();
      due -= 1;
    }
    due = Math.min(due, 20); // on a slow machine it takes longer, and does not make up for it later
    if (run.finished) return stop();
    drawNumbers();
    drawMaps(MAPS);
    show();
    requestAnimationFrame(frame);
  }

  function play() {
    if (run.finished) reset();
    playing = true;
    due = 1;
    last = performance.now();
    show();
    requestAnimationFrame(frame);
  }

  /** Start anew with the present settings. */
  function reset() {
    playing = false;
    run = new hl.Run(settings);
    for (const [name, value] of Object.entries(settings)) {
      const control = find(`select[name=${name}]`);
      if (!control) continue;
      // The address may ask for a number that is not among those offered.
      const there = [...control.options].some((option) => option.value === String(value));
      if (!there) control.add(new Option(number(value), value));
      control.value = value;
    }
    root.querySelectorAll("[name=method]").forEach((box) => {
      box.checked = settings.method.includes(box.value);
      box.disabled = box.checked && settings.method.length === 1;
      const score = box.parentElement;
      find("output", score).textContent = "";
      find(".hl-track i", score).style.width = "0";
    });
    find(".hl-timeline").innerHTML = run.benchmark.tasks
      .map(({ label }, task) => `<li style="--color:${hl.TASK_COLORS[task]}"><span>${task + 1}: ${label}</span></li>`)
      .join("");
    find(".hl-cards").innerHTML = run.entries.map(card).join("");
    run.entries.forEach((entry) => {
      find(`.hl-card[data-method=${entry.name}] .hl-name span`).textContent = defence(entry);
    });
    next = 0;
    say();
    draw();
    show();
  }

  function change(changed) {
    settings = changed;
    history.replaceState(null, "", `#${hl.writeSettings(settings)}`);
    reset();
  }

  // ---- What the reader does

  function listen() {
    find("[name=play]").addEventListener("click", () => (playing ? stop() : play()));
    find("[name=reset]").addEventListener("click", reset);
    find("[name=step]").addEventListener("click", () => {
      step();
      stop();
    });
    find("[name=task]").addEventListener("click", () => {
      const { task } = run;
      while (run.task === task) step();
      stop();
    });
    root.addEventListener("change", ({ target }) => {
      if (target.name === "method") {
        const chosen = [...root.querySelectorAll("[name=method]:checked")].map((box) => box.value);
        change({ ...settings, method: chosen });
      } else if (target.name === "tasks") {
        change({ ...settings, tasks: target.value, ...hl.BENCHMARKS[target.value].defaults });
      } else {
        change(hl.readSettings(hl.writeSettings({ ...settings, [target.name]: target.value })));
      }
    });
    window.addEventListener("hashchange", () => {
      if (location.hash.includes("=")) change(hl.readSettings(location.hash)); // else it leads to a heading
    });
    // The buttons in the text come after this script.
    document.addEventListener("click", ({ target }) => {
      const fragment = target.dataset?.playground;
      if (fragment === undefined) return;
      change(hl.readSettings(fragment));
      root.scrollIntoView();
      find("[name=play]").focus({ preventScroll: true });
      play();
    });
    new ResizeObserver(draw).observe(root);
    new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  settings = hl.readSettings(location.hash);
  build();
  reset();
  listen();
})((globalThis.hyperlearn ??= {}));
