// Draws the charts of items from the inlined data. All charts share colours and the hidden methods.
(() => {
  const { data, fade, compact, exact, nearest, logTicks, paintAxis } = shell;
  const arms = [];
  for (const chart of data.charts) {
    for (const line of chart.lines) if (!arms.some((arm) => arm.name === line.arm)) arms.push({ name: line.arm, label: line.label });
  }
  const hidden = new Set();
  const order = (name) => arms.findIndex((arm) => arm.name === name);
  const colour = (name) => shell.colour(order(name));
  const dash = (name) => shell.dash(order(name));
  const swatchOf = (name) => shell.swatch(order(name));
  const charts = [];

  // Positions far apart in a logarithm of no use, such as decays near 1, stand at equal distances.
  function positionsOf(chart) {
    if (!chart.even_x) return null;
    return [...new Set(chart.lines.flatMap((line) => line.mean.map(([x]) => x)))].sort((a, b) => a - b);
  }
  function pointsOf(chart, points, places) {
    return points.map(([x, y, name]) => ({ x: places ? places.indexOf(x) : x, y: chart.log_y && !(y > 0) ? null : y, at: x, name }));
  }

  function datasetsOf(chart, places) {
    const datasets = [];
    for (const line of chart.lines) {
      const common = { arm: line.arm, borderJoinStyle: "round", pointHitRadius: 0, pointBorderWidth: 0, parsing: false };
      for (const seed of line.seeds) {
        const paint = fade(colour(line.arm), 0.3);
        datasets.push({ ...common, data: pointsOf(chart, seed, places), borderColor: paint, pointBackgroundColor: fade(colour(line.arm), 0.55),
          borderWidth: chart.dots ? 0 : 1, showLine: !chart.dots, pointRadius: chart.dots ? 2 : 0, order: 2, role: "seed", name: line.label });
      }
      datasets.push({ ...common, data: pointsOf(chart, line.mean, places), borderColor: fade(colour(line.arm), chart.log_y ? 0.8 : 1),
        pointBackgroundColor: colour(line.arm), borderDash: dash(line.arm), borderWidth: chart.log_y ? 1.2 : 2, pointRadius: chart.dots ? 4 : 0,
        showLine: !chart.scatter, order: 1, role: "mean", name: line.label });
    }
    return datasets;
  }

  Chart.Interaction.modes.atX = (chart, event, options, useFinalPosition) => {
    const at = chart.scales.x.getValueForPixel(Chart.helpers.getRelativePosition(event, chart).x);
    const items = [];
    chart.getSortedVisibleDatasetMetas().forEach((meta) => {
      const dataset = chart.data.datasets[meta.index];
      if (dataset.role !== "mean") return;
      const index = nearest(dataset.data, at);
      if (index >= 0 && dataset.data[index].y !== null) items.push({ element: meta.data[index], datasetIndex: meta.index, index });
    });
    return items;
  };

  // The dot nearest to the cursor, and those of the other methods that stand for the same.
  Chart.Interaction.modes.sameName = (chart, event, options, useFinalPosition) => {
    const cursor = Chart.helpers.getRelativePosition(event, chart);
    const items = [];
    chart.getSortedVisibleDatasetMetas().forEach((meta) => meta.data.forEach((element, index) => {
      const place = element.getProps(["x", "y"], useFinalPosition);
      items.push({ element, datasetIndex: meta.index, index, distance: Math.hypot(place.x - cursor.x, place.y - cursor.y),
        name: chart.data.datasets[meta.index].data[index].name });
    }));
    const nearestOne = items.reduce((a, b) => (b.distance < a.distance ? b : a), { distance: Infinity });
    return items.filter((item) => item.name === nearestOne.name);
  };

  function tooltipFor(figure, xLabel) {
    const box = shell.tooltipOf(figure);
    return ({ chart, tooltip }) => {
      const items = [...(tooltip.dataPoints ?? [])].sort((a, b) => a.raw.y - b.raw.y);
      box.hidden = tooltip.opacity === 0 || items.length === 0;
      if (box.hidden) return;
      const table = document.createElement("table");
      for (const item of items) {
        const row = table.insertRow();
        const head = document.createElement("th");
        head.append(swatchOf(item.dataset.arm), item.dataset.name);
        row.append(head);
        row.insertCell().textContent = exact(item.raw.y);
      }
      const title = document.createElement("b");
      title.textContent = items[0].raw.name ?? `${xLabel} ${items[0].raw.at}`;
      box.replaceChildren(title, table);
      shell.placeTooltip(box, chart.canvas, tooltip.caretX, 6);
    };
  }

  function axes(chart, places) {
    const x = { title: { display: true, text: chart.x, align: "end", padding: 0 }, ticks: { maxRotation: 0 } };
    if (places) {
      Object.assign(x, { type: "linear", min: -0.3, max: places.length - 0.7 });
      x.afterBuildTicks = (axis) => { axis.ticks = places.map((_, value) => ({ value })); };
      x.ticks.callback = (value) => String(places[value]);
    } else if (chart.categories) {
      // Dots stand beside the middle of their group.
      Object.assign(x, { type: "linear", min: -0.5, max: chart.categories.length - 0.5 });
      x.afterBuildTicks = (axis) => { axis.ticks = chart.categories.map((_, value) => ({ value })); };
      x.ticks.callback = (value) => chart.categories[value];
      x.ticks.autoSkip = false;
    } else if (chart.scatter) {
      const all = chart.lines.flatMap((line) => line.mean.map(([at]) => at));
      const [low, high] = [Math.min(...all), Math.max(...all)];
      const room = chart.log_x ? (high / low) ** 0.04 : (high - low) * 0.04;
      Object.assign(x, chart.log_x
        ? { type: "logarithmic", min: low / room, max: high * room, afterBuildTicks: logTicks }
        : { type: "linear", min: low - room, max: high + room });
      x.ticks.includeBounds = false;
      x.ticks.callback = compact;
      x.ticks.maxTicksLimit = 9;
      x.ticks.autoSkip = !chart.log_x;
    } else if (chart.dots) {
      // A tick at every setting that was tried, and room beside the first and the last.
      const all = [...new Set(chart.lines.flatMap((line) => line.mean.map(([at]) => at)))].sort((a, b) => a - b);
      const room = chart.log_x ? 1.3 : (all.at(-1) - all[0]) * 0.08;
      Object.assign(x, chart.log_x
        ? { type: "logarithmic", min: all[0] / room, max: all.at(-1) * room }
        : { type: "linear", min: all[0] - room, max: all.at(-1) + room });
      x.afterBuildTicks = (axis) => { axis.ticks = all.map((value) => ({ value })); };
      x.ticks.callback = compact;
      x.ticks.autoSkip = false;
    } else {
      Object.assign(x, { type: "linear" });
      x.ticks.maxTicksLimit = 7;
    }
    const y = chart.log_y
      ? { type: "logarithmic", afterBuildTicks: logTicks, ticks: { callback: compact, autoSkip: false } }
      : { type: "linear", ticks: { maxTicksLimit: 7, includeBounds: false } };
    y.title = { display: true, text: chart.y, align: "end" };
    paintAxis(x);
    paintAxis(y);
    // What is above zero is better than no method.
    if (chart.scatter) y.grid.color = ({ tick }) => shell.css(tick.value === 0 ? "--soft" : "--grid");
    return { x, y };
  }

  // A run that blew up would flatten all others: the axis ends at a wide multiple of where most points are, and
  // the figure says what lies beyond.
  function limit(chart, scales) {
    if (chart.log_y) return;
    const values = chart.lines.flatMap((line) => line.mean.map(([, y]) => y)).filter((y) => y !== null).sort((a, b) => a - b);
    if (values.length === 0) return;
    const low = values[0];
    const middle = values[Math.floor(values.length * 0.5)];
    const high = values.at(-1);
    const cap = middle + 4 * (middle - low + 0.05);
    if (high > cap && !chart.dots) scales.y.max = cap;
  }

  function build(chart, figure) {
    const places = positionsOf(chart);
    const scales = axes(chart, places);
    limit(chart, scales);
    const datasets = datasetsOf(chart, places);
    datasets.forEach((dataset) => { dataset.hidden = hidden.has(dataset.arm); });
    const drawn = new Chart(figure.querySelector("canvas"), {
      type: "line",
      data: { datasets },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true,
        interaction: { mode: chart.scatter ? "sameName" : "atX", intersect: false }, hover: { mode: null }, layout: { padding: { right: 6 } },
        plugins: { legend: { display: false }, tooltip: { enabled: false, external: tooltipFor(figure, chart.x), animation: false } },
        scales,
      },
    });
    shell.sayWhatIsOutside(figure, drawn);
    return drawn;
  }

  const figures = data.charts.map((chart) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const title = document.createElement("b");
    title.textContent = chart.title;
    caption.append(title, chart.caption);
    const plot = document.createElement("div");
    plot.className = "plot";
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${chart.title}; the numbers are in the tables below`);
    plot.append(canvas);
    figure.append(caption, plot);
    document.getElementById("plots").append(figure);
    return figure;
  });

  function drawAll() {
    charts.splice(0).forEach((chart) => chart.destroy());
    data.charts.forEach((chart, index) => charts.push(build(chart, figures[index])));
  }

  const legend = document.getElementById("legend");
  for (const arm of arms) {
    const chip = document.createElement("span");
    chip.className = "chip";
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(swatchOf(arm.name), arm.label);
    button.addEventListener("click", () => {
      if (!hidden.delete(arm.name)) hidden.add(arm.name);
      button.setAttribute("aria-pressed", String(!hidden.has(arm.name)));
      drawAll();
    });
    chip.append(button);
    legend.append(chip);
  }
  document.getElementById("controls").hidden = arms.length === 0;
  document.getElementById("charts").hidden = data.charts.length === 0;
  drawAll();
  shell.onThemeChange(drawAll);
})();
