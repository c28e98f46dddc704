// Draws the charts from the inlined data. All charts share colours, the hidden runs, the range of steps and the cursor.
(() => {
  const { css, fade, compact, exact, nearest, logTicks, colour, dash, swatch } = shell;
  let { data } = shell;
  const state = { hidden: new Set(), from: 0, cursor: null, raw: data.runs.length <= 4 };

  const points = (series) => series.x.map((x, i) => ({ x, y: series.y[i] }));
  const positive = (series) => points(series).map((p) => ({ x: p.x, y: p.y > 0 ? p.y : null }));

  // One entry per figure. `log`: logarithmic axis, on which zero and less cannot be drawn. `means`: has lines over
  // seeds. `shared`: panels with the same name use the same vertical range.
  // Those of the evaluations are as many as the task has metrics: their figures say how they are drawn.
  const panels = {
    training: { means: true },
    raw_norm: { log: true, shared: "norm" },
    stabilized_norm: { log: true, shared: "norm" },
    factor: { log: true },
    flagged: { zero: true, stepped: true },
  };
  document.querySelectorAll("figure[data-dots]").forEach((figure) => {
    panels[figure.dataset.chart] = { means: "means" in figure.dataset, dots: true };
  });
  const findLastStep = () => Math.max(1, ...data.runs.flatMap((run) => Object.keys(panels).map((key) => run[key].x.at(-1) ?? 1)));
  let lastStep = findLastStep();

  function datasetsOf(key) {
    const panel = panels[key];
    const convert = panel.log ? positive : points;
    const datasets = [];
    const add = (extra) => {
      const paint = fade(colour(extra.group), extra.alpha);
      datasets.push({ borderColor: paint, pointBackgroundColor: paint, pointBorderWidth: 0, borderDash: dash(extra.group),
        borderJoinStyle: "round", pointHitRadius: 0, clip: { left: 0, top: 2, right: 6, bottom: 2 }, stepped: Boolean(panel.stepped), hidden: false, ...extra });
    };
    data.runs.forEach((run, index) => {
      const many = data.groups[run.group].runs.length > 1;
      const withMean = many && panel.means && data.groups[run.group][key].x.length > 0;
      // Behind everything: what the smoothed line was made of.
      if (key === "training") {
        add({ data: points(run.training_raw), run: index, group: run.group, role: "raw", alpha: 0.22, borderWidth: 1, pointRadius: 0, order: 3 });
      }
      const single = run[key].x.length === 1;
      const dense = panel.log && run[key].x.length > 800; // else long runs paint a solid block
      add({ data: convert(run[key]), run: index, group: run.group, role: "run", name: run.label, borderWidth: many || dense ? 1 : 1.8,
        alpha: withMean ? 0.45 : dense ? 0.6 : panel.log ? 0.8 : 1, order: 2,
        pointRadius: single ? 3.5 : panel.dots ? (withMean ? 1.5 : run[key].x.length > 60 ? 1.8 : 3.5) : 0 });
    });
    data.groups.forEach((group, index) => {
      if (!panel.means || group.runs.length < 2 || group[key].x.length === 0) return;
      add({ data: convert(group[key]), group: index, runs: group.runs, role: "mean", name: `${group.label}, mean`, alpha: 1,
        borderWidth: 2.4, order: 1, pointRadius: panel.dots && group[key].x.length <= 60 ? 3.5 : 0 });
    });
    return datasets;
  }
  function isHidden(dataset) {
    if (dataset.role === "mean") return dataset.runs.every((run) => state.hidden.has(run));
    return state.hidden.has(dataset.run) || (dataset.role === "raw" && !state.raw);
  }

  // Nearest point of every line at the cursor's step: lines are thinned separately and runs differ in length, so the
  // library's own modes would leave most of them out.
  Chart.Interaction.modes.atStep = (chart, event, options, useFinalPosition) => {
    const step = chart.scales.x.getValueForPixel(Chart.helpers.getRelativePosition(event, chart).x);
    const items = [];
    chart.getSortedVisibleDatasetMetas().forEach((meta) => {
      const list = chart.data.datasets[meta.index].data;
      const index = nearest(list, step);
      if (index >= 0 && list[index].y !== null) items.push({ element: meta.data[index], datasetIndex: meta.index, index });
    });
    return items;
  };

  const cursorLine = {
    id: "cursorLine",
    afterEvent(chart, { event }) {
      const inside = event.type !== "mouseout" && event.x >= chart.chartArea.left && event.x <= chart.chartArea.right;
      const cursor = inside ? chart.scales.x.getValueForPixel(event.x) : null;
      if (cursor === state.cursor) return;
      state.cursor = cursor;
      charts.forEach((other) => other.draw());
    },
    afterDatasetsDraw(chart) {
      if (state.cursor === null) return;
      const x = chart.scales.x.getPixelForValue(state.cursor);
      const { ctx, chartArea: area } = chart;
      if (x < area.left || x > area.right) return;
      ctx.save();
      ctx.strokeStyle = css("--soft");
      ctx.globalAlpha = 0.6;
      ctx.lineWidth = 1;
      ctx.beginPath();
      ctx.moveTo(x, area.top);
      ctx.lineTo(x, area.bottom);
      ctx.stroke();
      ctx.restore();
    },
  };

  function tooltipFor(figure) {
    const box = shell.tooltipOf(figure);
    return ({ chart, tooltip }) => {
      const items = (tooltip.dataPoints ?? []).filter((item) => item.dataset.role !== "raw");
      box.hidden = tooltip.opacity === 0 || items.length === 0;
      if (box.hidden) return;
      const steps = items.map((item) => item.raw.x);
      const step = steps.reduce((a, b) => (Math.abs(b - state.cursor) < Math.abs(a - state.cursor) ? b : a));
      const most = 16;
      items.sort((a, b) => b.raw.y - a.raw.y);
      const table = document.createElement("table");
      items.slice(0, most).forEach((item) => {
        const row = table.insertRow();
        const head = document.createElement("th");
        // A line that ended earlier, or was thinned, shows the step that its value belongs to.
        const where = item.raw.x === step ? "" : ` (step ${item.raw.x})`;
        head.append(swatch(item.dataset.group), item.dataset.name + where);
        if (item.dataset.role === "mean") head.style.fontWeight = "600";
        row.append(head);
        row.insertCell().textContent = exact(item.raw.y);
      });
      const title = document.createElement("b");
      title.textContent = `Step ${step}`;
      box.replaceChildren(title, table);
      if (items.length > most) box.append(`and ${items.length - most} more`);
      shell.placeTooltip(box, chart.canvas, tooltip.caretX, 6);
    };
  }

  // Smallest and largest visible value of some panels, over the steps shown.
  function extent(keys) {
    let low = Infinity;
    let high = -Infinity;
    const first = state.from * lastStep;
    for (const key of keys) {
      for (const dataset of charts.get(key).data.datasets) {
        // Unsmoothed losses do not set the range: one bad batch would flatten every curve.
        if (isHidden(dataset) || dataset.role === "raw") continue;
        for (const { x, y } of dataset.data) {
          if (y === null || x < first) continue;
          low = Math.min(low, y);
          high = Math.max(high, y);
        }
      }
    }
    return low <= high ? [low, high] : null;
  }
  function rangeOf(key) {
    const panel = panels[key];
    const range = extent(Object.keys(panels).filter((other) => other === key || (panel.shared && panels[other].shared === panel.shared)));
    if (!range) return {};
    let [low, high] = range;
    if (panel.log) {
      // At least a factor of four, so that a constant line is not blown up to look like noise.
      const centre = Math.sqrt(low * high);
      low = Math.min(low / 1.15, centre / 2);
      high = Math.max(high * 1.15, centre * 2);
      return { min: low, max: high };
    }
    if (panel.zero && state.from === 0) return { min: 0, max: Math.max(1, high * 1.05) };
    const margin = Math.max((high - low) * 0.05, Math.abs(high) * 1e-3, 1e-9);
    return { min: low - margin, max: high + margin };
  }

  const charts = new Map();
  function build(key, figure) {
    const canvas = figure.querySelector("canvas");
    const datasets = datasetsOf(key);
    const panel = panels[key];
    const chart = new Chart(canvas, {
      type: "line",
      data: { datasets },
      plugins: [cursorLine],
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        parsing: false,
        normalized: true,
        interaction: { mode: "atStep", intersect: false },
        hover: { mode: null },
        layout: { padding: { right: 6 } },
        plugins: {
          legend: { display: false },
          tooltip: { enabled: false, external: tooltipFor(figure), animation: false },
        },
        scales: {
          x: { type: "linear", min: 0, max: lastStep, ticks: { maxRotation: 0, maxTicksLimit: 7, callback: (v) => (Number.isInteger(v) ? String(v) : "") },
            title: { display: true, text: "step", align: "end", padding: 0 } },
          y: panel.log
            ? { type: "logarithmic", afterBuildTicks: logTicks, ticks: { callback: compact, autoSkip: false } }
            : { type: "linear", ticks: { maxTicksLimit: 7, includeBounds: false, ...(panel.zero ? { precision: 0, callback: exact } : {}) } },
        },
      },
    });
    charts.set(key, chart);
    sayWhetherEmpty(chart);
  }
  function sayWhetherEmpty(chart) {
    const { canvas } = chart;
    const nothing = chart.data.datasets.every((dataset) => dataset.data.every((point) => point.y === null));
    if (nothing === canvas.hidden) return;
    canvas.hidden = nothing;
    if (!nothing) {
      canvas.parentElement.querySelector(".empty").remove();
      chart.resize();
      return;
    }
    const empty = document.createElement("div");
    empty.className = "empty";
    empty.textContent = "Nothing recorded";
    canvas.parentElement.append(empty);
  }

  function refresh() {
    charts.forEach((chart, key) => {
      chart.data.datasets.forEach((dataset) => {
        dataset.hidden = isHidden(dataset);
      });
      const { x, y } = chart.options.scales;
      shell.paintAxis(x);
      shell.paintAxis(y);
      x.min = Math.round(state.from * lastStep);
      x.max = lastStep;
      Object.assign(y, { min: undefined, max: undefined }, rangeOf(key));
      chart.update("none");
      shell.sayWhatIsOutside(chart.canvas.closest("figure"), chart);
    });
  }

  function toggle(runs) {
    const allHidden = runs.every((run) => state.hidden.has(run));
    runs.forEach((run) => (allHidden ? state.hidden.delete(run) : state.hidden.add(run)));
    document.querySelectorAll("#legend button").forEach((button) => {
      const shown = button.runs.some((run) => !state.hidden.has(run));
      button.setAttribute("aria-pressed", String(shown));
    });
    refresh();
  }
  function buildLegend() {
    const legend = document.getElementById("legend");
    legend.replaceChildren();
    const grouped = data.groups.some((group) => group.runs.length > 1);
    legend.title = grouped ? "Thick lines are means over seeds; the small numbers are the seeds" : "";
    const button = (text, runs, title) => {
      const element = document.createElement("button");
      element.type = "button";
      element.runs = runs;
      element.title = title;
      element.setAttribute("aria-pressed", String(runs.some((run) => !state.hidden.has(run))));
      element.append(text);
      element.addEventListener("click", () => toggle(runs));
      return element;
    };
    data.groups.forEach((group, index) => {
      const chip = document.createElement("span");
      chip.className = "chip";
      const main = button(group.label, group.runs, "Show or hide in all charts");
      main.prepend(swatch(index));
      chip.append(main);
      if (group.runs.length > 1) {
        group.runs.forEach((run) => chip.append(button(data.runs[run].seed, [run], `Show or hide ${data.runs[run].label}`)));
      }
      legend.append(chip);
    });
  }

  const figures = document.querySelectorAll("figure[data-chart]");
  figures.forEach((figure) => build(figure.dataset.chart, figure));
  buildLegend();
  const raw = document.getElementById("show-raw");
  raw.checked = state.raw;
  raw.addEventListener("change", () => {
    state.raw = raw.checked;
    refresh();
  });
  const ranges = document.querySelectorAll("#options [data-from]");
  ranges.forEach((button) =>
    button.addEventListener("click", () => {
      state.from = Number(button.dataset.from);
      ranges.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      refresh();
    }),
  );
  document.getElementById("controls").hidden = false;
  refresh();

  // Colours are fixed when a chart is built: the library caches what it resolved for points.
  function rebuild() {
    charts.forEach((chart) => chart.destroy());
    figures.forEach((figure) => build(figure.dataset.chart, figure));
    refresh();
  }
  shell.onThemeChange(rebuild);

  // The same charts with what has been measured since. What is hidden and which steps are shown stays.
  const legendOf = ({ runs, groups }) => JSON.stringify([runs.map((run) => [run.label, run.seed]), groups.map((group) => [group.label, group.runs])]);
  let legendShown = legendOf(data);
  shell.onData((fresh) => {
    const hidden = new Set([...state.hidden].map((run) => data.runs[run].label));
    data = fresh;
    state.hidden = new Set([...data.runs.keys()].filter((run) => hidden.has(data.runs[run].label)));
    lastStep = findLastStep();
    charts.forEach((chart, key) => {
      chart.data.datasets = datasetsOf(key);
      sayWhetherEmpty(chart);
    });
    if (legendShown !== legendOf(data)) {
      legendShown = legendOf(data);
      buildLegend();
    }
    refresh();
  });
})();
