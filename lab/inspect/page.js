// Draws the charts of inspected logs from the inlined data.
(() => {
  const { fade, compact, exact, nearest, logTicks, colour, dash, swatch } = shell;
  let { data } = shell;
  const charts = [];

  const series = (log, values) => log.x.map((x, i) => ({ x, y: values[i] }));
  // On a logarithmic axis nothing is drawn at zero and below.
  const positive = (points) => points.map(({ x, y }) => ({ x, y: y !== null && y > 0 ? y : null }));

  // What each kind of chart shows: lines with the place of their colour.
  const kinds = {
    norm: (log) => [
      { name: "norm", key: "norm", place: 0, width: 1.2, data: positive(series(log, log.norm)) },
      { name: "running median", key: "median", place: 1, width: 2, data: positive(series(log, log.median)) },
      { name: "event", key: "events", place: 1, marks: true, data: positive(log.events) },
    ],
    loss: (log) => [{ name: "loss", key: "loss", place: 0, width: 1.2, data: series(log, log.loss) }],
    factor: (log) => log.rules.map((rule, place) => ({ name: rule.title, key: rule.key, place, width: place < 2 ? 1.8 : 1.2, data: positive(series(log, rule.factor)) })),
  };

  Chart.Interaction.modes.atStep = (chart, event) => {
    const step = chart.scales.x.getValueForPixel(Chart.helpers.getRelativePosition(event, chart).x);
    return chart.getSortedVisibleDatasetMetas().flatMap((meta) => {
      const list = chart.data.datasets[meta.index].data;
      const index = nearest(list, step);
      return index < 0 || list[index].y === null ? [] : [{ element: meta.data[index], datasetIndex: meta.index, index }];
    });
  };

  function tooltipFor(figure) {
    const box = shell.tooltipOf(figure);
    return ({ chart, tooltip }) => {
      const items = (tooltip.dataPoints ?? []).filter((item) => !item.dataset.marks);
      box.hidden = tooltip.opacity === 0 || items.length === 0;
      if (box.hidden) return;
      const table = document.createElement("table");
      items.forEach((item) => {
        const row = table.insertRow();
        const head = document.createElement("th");
        head.append(swatch(item.dataset.place), item.dataset.name);
        row.append(head);
        row.insertCell().textContent = exact(item.raw.y);
      });
      const title = document.createElement("b");
      title.textContent = `Step ${items[0].raw.x}`;
      box.replaceChildren(title, table);
      shell.placeTooltip(box, chart.canvas, tooltip.caretX, 6);
    };
  }

  function extent(datasets) {
    const values = datasets.flatMap((dataset) => dataset.data.map((point) => point.y)).filter((y) => y !== null);
    return values.length === 0 ? null : [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  }
  function rangeOf(datasets, logarithmic) {
    const range = extent(datasets);
    if (!range) return {};
    const [low, high] = range;
    if (logarithmic) {
      // At least a factor of four, so that a constant line is not blown up to look like noise.
      const centre = Math.sqrt(low * high);
      return { min: Math.min(low / 1.15, centre / 2), max: Math.max(high * 1.4, centre * 2) };
    }
    const margin = Math.max((high - low) * 0.05, Math.abs(high) * 1e-3, 1e-9);
    return { min: low - margin, max: high + margin };
  }

  function build(figure) {
    const log = data.logs[Number(figure.dataset.log)];
    const kind = figure.dataset.kind;
    const logarithmic = kind !== "loss";
    const datasets = kinds[kind](log).map((line) => {
      const paint = fade(colour(line.place), 1);
      return { ...line, borderColor: paint, pointBackgroundColor: line.marks ? "transparent" : paint, pointBorderColor: paint, borderDash: dash(line.place),
        borderWidth: line.marks ? 1.6 : line.width, showLine: !line.marks, pointRadius: line.marks ? 5 : line.data.length === 1 ? 3.5 : 0, pointHitRadius: 0,
        borderJoinStyle: "round", order: line.marks ? 0 : line.key === "median" ? 1 : 2 };
    });
    const first = log.x.reduce((a, b) => Math.min(a, b));
    const last = log.x.reduce((a, b) => Math.max(a, b));
    const chart = new Chart(figure.querySelector("canvas"), {
      type: "line",
      data: { datasets },
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        parsing: false,
        normalized: true,
        interaction: { mode: "atStep", intersect: false },
        hover: { mode: null },
        layout: { padding: { right: 6 } },
        plugins: { legend: { display: false }, tooltip: { enabled: false, external: tooltipFor(figure), animation: false } },
        scales: {
          x: { type: "linear", min: first, max: Math.max(last, first + 1), ticks: { maxRotation: 0, maxTicksLimit: 7, includeBounds: false, callback: (v) => (Number.isInteger(v) ? String(v) : "") },
            title: { display: true, text: log.steps, align: "end", padding: 0 } },
          y: logarithmic
            ? { type: "logarithmic", afterBuildTicks: logTicks, ticks: { callback: compact, autoSkip: false }, ...rangeOf(datasets, true) }
            : { type: "linear", ticks: { maxTicksLimit: 7, includeBounds: false }, ...rangeOf(datasets, false) },
        },
      },
    });
    shell.paintAxis(chart.options.scales.x);
    shell.paintAxis(chart.options.scales.y);
    chart.update("none");
    shell.sayWhatIsOutside(figure, chart);
    charts.push(chart);
    const legend = figure.querySelector(".legend");
    legend?.replaceChildren(...kinds[kind](log).filter((line) => !line.marks).map((line) => {
      const entry = document.createElement("span");
      entry.append(swatch(line.place), line.name);
      return entry;
    }));
  }

  function buildAll() {
    charts.splice(0).forEach((chart) => chart.destroy());
    document.querySelectorAll("figure[data-kind]").forEach(build);
  }
  buildAll();
  shell.onThemeChange(buildAll);
  shell.onData((fresh) => {
    data = fresh;
    buildAll();
  });
})();
