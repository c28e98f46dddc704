// Draws the heat maps and the recovery curves from the inlined data.
(() => {
  const { data, css, fade, compact, exact, nearest } = shell;
  const columns = data.gamma1.length;
  const rows = data.one_minus_gamma2.length;
  const charts = new Map();
  const state = { cell: null, first: false }; // the cell under the cursor; whether only the first steps are drawn

  // Colours of growing lightness, so that the order survives every form of colour blindness and a grey printer.
  const ramp = [[38, 24, 82], [43, 76, 138], [32, 132, 140], [88, 184, 104], [246, 226, 92]];
  function rampColour(part) {
    const place = Math.min(Math.max(part, 0), 1) * (ramp.length - 1);
    const low = Math.min(Math.floor(place), ramp.length - 2);
    return ramp[low].map((channel, i) => Math.round(channel + (place - low) * (ramp[low + 1][i] - channel)));
  }

  // Beside its border with the region without bound a map may rise without limit; what is above a ceiling has the
  // brightest colour.
  const ceilings = { build_up: 5 };

  // Smallest and largest value of the maps that share a scale; the two bounds do, to be compared.
  function rangeOf(key) {
    const keys = key.endsWith("bound") ? ["bound", "robust_bound"] : [key];
    const values = keys.flatMap((each) => data.maps[each]).filter((value) => value !== null);
    const high = values.reduce((a, b) => Math.max(a, b));
    return [values.reduce((a, b) => Math.min(a, b)), Math.min(high, ceilings[key] ?? Infinity)];
  }
  const part = (value, [low, high]) => Math.log(value / low) / Math.log(high / low);

  // One pixel per point of the grid; transparent where there is no bound.
  function imageOf(key) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [columns, rows];
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    const range = rangeOf(key);
    data.maps[key].forEach((value, index) => {
      if (value === null) return;
      const row = rows - 1 - Math.floor(index / columns); // gamma2 grows upwards
      image.data.set([...rampColour(part(value, range)), 255], 4 * (row * columns + (index % columns)));
    });
    context.putImageData(image, 0, 0);
    return canvas;
  }
  function hatching(context) {
    const tile = document.createElement("canvas");
    [tile.width, tile.height] = [8, 8];
    const brush = tile.getContext("2d");
    brush.strokeStyle = css("--soft");
    brush.lineWidth = 1.2;
    brush.beginPath();
    for (const shift of [-8, 0, 8]) {
      brush.moveTo(shift - 1, 9);
      brush.lineTo(shift + 9, -1);
    }
    brush.stroke();
    return context.createPattern(tile, "repeat");
  }

  // Where the rectangle of the grid lies on a chart; half a cell reaches beyond each end of the axes.
  function frameOf({ scales: { x, y } }) {
    const half = (data.gamma1[1] - data.gamma1[0]) / 2;
    const factor = Math.sqrt(data.one_minus_gamma2[0] / data.one_minus_gamma2[1]);
    const left = x.getPixelForValue(data.gamma1[0] - half);
    const right = x.getPixelForValue(data.gamma1[columns - 1] + half);
    const bottom = y.getPixelForValue(data.one_minus_gamma2[0] * factor);
    const top = y.getPixelForValue(data.one_minus_gamma2[rows - 1] / factor);
    return { left, top, width: right - left, height: bottom - top };
  }
  function cellAt(chart, { x, y }) {
    const { left, right, top, bottom } = chart.chartArea;
    if (x < left || x > right || y < top || y > bottom) return null;
    const frame = frameOf(chart);
    const column = Math.floor(((x - frame.left) / frame.width) * columns);
    const row = rows - 1 - Math.floor(((y - frame.top) / frame.height) * rows);
    return { column: Math.min(Math.max(column, 0), columns - 1), row: Math.min(Math.max(row, 0), rows - 1) };
  }

  const clipped = (chart, draw) => {
    const { ctx, chartArea: area } = chart;
    ctx.save();
    ctx.beginPath();
    ctx.rect(area.left, area.top, area.width, area.height);
    ctx.clip();
    draw(ctx);
    ctx.restore();
  };
  // A white line in a black one: seen on every colour.
  const outlined = (chart, path) =>
    clipped(chart, (context) => {
      context.beginPath();
      path(context);
      context.strokeStyle = "#000";
      context.lineWidth = 4;
      context.stroke();
      context.strokeStyle = "#fff";
      context.lineWidth = 2;
      context.stroke();
    });
  // `box` is the figure's tooltip.
  const heatPlugin = (key, image, box) => ({
    id: "heat",
    beforeDatasetsDraw(chart) {
      clipped(chart, (context) => {
        context.fillStyle = hatching(context);
        context.fillRect(chart.chartArea.left, chart.chartArea.top, chart.chartArea.width, chart.chartArea.height);
        const { left, top, width, height } = frameOf(chart);
        context.imageSmoothingEnabled = false;
        context.drawImage(image, left, top, width, height);
      });
    },
    afterDatasetsDraw(chart) {
      const { left, top, width, height } = frameOf(chart);
      const { gamma1, one_minus_gamma2: distance } = data.chosen;
      const { x, y } = chart.scales;
      outlined(chart, (context) => context.arc(x.getPixelForValue(gamma1), y.getPixelForValue(distance), 6, 0, 2 * Math.PI));
      if (!state.cell) return;
      const [w, h] = [width / columns, height / rows];
      const [cellLeft, cellTop] = [left + state.cell.column * w, top + (rows - 1 - state.cell.row) * h];
      outlined(chart, (context) => context.rect(cellLeft - 1, cellTop - 1, w + 2, h + 2));
    },
    afterEvent(chart, { event }) {
      const cell = event.type === "mouseout" ? null : cellAt(chart, event);
      showCell(key, box, chart.canvas, cell, event);
      if (cell?.column === state.cell?.column && cell?.row === state.cell?.row) return;
      state.cell = cell;
      Object.keys(data.maps).forEach((other) => charts.get(other)?.draw());
    },
  });

  // As many digits of gamma2 as its distance from 1 needs.
  const gamma2Text = (distance) => (1 - distance).toFixed(Math.ceil(-Math.log10(distance)) + 2);
  function showCell(key, box, canvas, cell, { x, y }) {
    box.hidden = cell === null;
    if (!cell) return;
    const distance = data.one_minus_gamma2[cell.row];
    const value = data.maps[key][cell.row * columns + cell.column];
    const title = document.createElement("b");
    title.textContent = value === null ? "no bound" : exact(value);
    box.replaceChildren(title, document.createElement("br"),
      `γ₁ ${data.gamma1[cell.column].toFixed(2)}, γ₂ ${gamma2Text(distance)} (1 − γ₂ = ${exact(distance)})`);
    shell.placeTooltip(box, canvas, x, y + 8);
  }

  // The bar of colours below a map, with its powers of ten.
  function buildScale(figure, key) {
    figure.querySelector(".scale")?.remove();
    const [low, high] = rangeOf(key);
    const scale = document.createElement("div");
    scale.className = "scale";
    const bar = document.createElement("div");
    bar.className = "bar";
    const stops = Array.from({ length: 17 }, (_, i) => `rgb(${rampColour(i / 16).join(" ")})`);
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const axis = { min: low, max: high };
    shell.logTicks(axis);
    scale.append(bar);
    for (const { value } of axis.ticks) {
      const label = document.createElement("span");
      label.textContent = compact(value) + (value === ceilings[key] ? "+" : "");
      label.style.left = `${100 * part(value, [low, high])}%`;
      scale.append(label);
    }
    figure.append(scale);
    if (!data.maps[key].includes(null)) return;
    const note = document.createElement("small");
    note.className = "scale-note";
    const swatch = document.createElement("span");
    swatch.className = "swatch hatched";
    note.append(swatch, "no bound: γ₁² ≥ γ₂ (beyond the orange line)");
    scale.append(note);
  }

  function buildMap(figure) {
    const key = figure.dataset.map;
    const canvas = figure.querySelector("canvas");
    const limit = Math.sqrt(1 - data.one_minus_gamma2[0]);
    const last = data.gamma1[columns - 1];
    // Where gamma1^2 = gamma2.
    const border = Array.from({ length: 33 }, (_, i) => limit + ((last - limit) * i) / 32).map((x) => ({ x, y: 1 - x * x }));
    const chart = new Chart(canvas, {
      type: "scatter",
      data: {
        datasets: [{ data: data.maps[key].includes(null) ? border : [], role: "border", showLine: true, pointRadius: 0, borderColor: shell.colour(1), borderWidth: 2 }],
      },
      plugins: [heatPlugin(key, imageOf(key), shell.tooltipOf(figure))],
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        hover: { mode: null },
        layout: { padding: { right: 10, top: 4 } },
        plugins: { legend: { display: false }, tooltip: { enabled: false } },
        scales: {
          x: { type: "linear", min: data.gamma1[0], max: last, ticks: { maxRotation: 0, stepSize: 0.2, includeBounds: false },
            grid: { drawOnChartArea: false }, title: { display: true, text: "γ₁", padding: 0 } },
          y: { type: "logarithmic", reverse: true, min: data.one_minus_gamma2[rows - 1], max: data.one_minus_gamma2[0],
            afterBuildTicks: shell.logTicks, ticks: { autoSkip: false, callback: (v) => String(Number((1 - v).toFixed(6))) },
            grid: { drawOnChartArea: false }, title: { display: true, text: "γ₂, log scale of 1 − γ₂", padding: 0 } },
        },
      },
    });
    charts.set(key, chart);
    buildScale(figure, key);
  }

  // Recovery curves: one colour per spike size, dashed for robust moments. The dashes of the three sizes are shifted
  // against each other, so that lines on top of each other all show.
  const sizes = [...new Set(data.curves.map((curve) => curve.ratio))];
  const dash = 6;
  const nameOf = ({ ratio, rule }) => `${ratio} × norm, ${rule}`;
  Chart.Interaction.modes.atStep = (chart, event, options, useFinalPosition) => {
    const step = chart.scales.x.getValueForPixel(Chart.helpers.getRelativePosition(event, chart).x);
    return chart.getSortedVisibleDatasetMetas().map((meta) => {
      const index = nearest(chart.data.datasets[meta.index].data, step);
      return { element: meta.data[index], datasetIndex: meta.index, index };
    });
  };
  function showCurves(figure) {
    const box = shell.tooltipOf(figure);
    return ({ chart, tooltip }) => {
      const items = tooltip.dataPoints ?? [];
      box.hidden = tooltip.opacity === 0 || items.length === 0;
      if (box.hidden) return;
      const table = document.createElement("table");
      items.sort((a, b) => b.raw.y - a.raw.y);
      for (const { dataset, raw } of items) {
        const row = table.insertRow();
        const head = document.createElement("th");
        head.append(shell.swatch(dataset.size), dataset.name);
        row.append(head);
        row.insertCell().textContent = exact(raw.y);
      }
      const title = document.createElement("b");
      const step = items[0].raw.x;
      title.textContent = step === 0 ? "On the spike" : `${step} ${step === 1 ? "step" : "steps"} after it`;
      box.replaceChildren(title, table);
      shell.placeTooltip(box, chart.canvas, tooltip.caretX, 6);
    };
  }
  function buildCurves(figure) {
    const last = data.curves[0].x.at(-1);
    const datasets = data.curves.map((curve) => {
      const size = sizes.indexOf(curve.ratio);
      const robust = curve.rule === "robust";
      return { data: curve.x.map((x, i) => ({ x, y: curve.y[i] })), name: nameOf(curve), size, borderColor: fade(shell.colour(size), 1),
        borderWidth: robust ? 2.4 : 1.8, borderDash: robust ? [dash, dash * (sizes.length - 1)] : [], borderDashOffset: dash * size,
        pointRadius: 0, pointHitRadius: 0, order: robust ? 0 : 1 };
    });
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
        plugins: { legend: { display: false }, tooltip: { enabled: false, external: showCurves(figure), animation: false } },
        scales: {
          x: { type: "linear", min: 0, max: state.first ? Math.min(50, last) : last, ticks: { maxRotation: 0, maxTicksLimit: 7, includeBounds: false, callback: String },
            title: { display: true, text: "steps after the spike", align: "end", padding: 0 } },
          y: { type: "logarithmic", afterBuildTicks: shell.logTicks, ticks: { callback: compact, autoSkip: false },
            title: { display: true, text: "ρ", padding: 0 } },
        },
      },
    });
    charts.set("recovery", chart);
  }
  function buildLegend() {
    sizes.forEach((ratio, size) => {
      const entry = document.createElement("span");
      entry.append(shell.swatch(size), `spike of ${ratio} × the norm`);
      document.getElementById("legend").append(entry);
    });
  }

  function paint() {
    charts.forEach((chart) => {
      shell.paintAxis(chart.options.scales.x);
      shell.paintAxis(chart.options.scales.y);
      chart.update("none");
    });
  }
  function build() {
    charts.forEach((chart) => chart.destroy());
    charts.clear();
    document.querySelectorAll("figure[data-map]").forEach(buildMap);
    buildCurves(document.querySelector("figure[data-chart=recovery]"));
    paint();
  }

  const parts = document.querySelectorAll("button[data-part]");
  parts.forEach((button) =>
    button.addEventListener("click", () => {
      state.first = button.dataset.part === "first";
      parts.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      build();
    }),
  );
  const { gamma1, one_minus_gamma2: distance } = data.chosen;
  document.getElementById("outside").hidden = gamma1 <= data.gamma1[columns - 1] && distance <= data.one_minus_gamma2[0] && distance >= data.one_minus_gamma2[rows - 1];
  buildLegend();
  build();
  shell.onThemeChange(build);
})();
