"use strict";
// What the scripts of all pages use.
const shell = (() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // Three-digit colours to six, so that an alpha can follow.
  const toHex = (text) => (text.length === 4 ? "#" + [...text.slice(1)].map((c) => c + c).join("") : text);
  const fade = (hex, alpha) => toHex(hex) + Math.round(alpha * 255).toString(16).padStart(2, "0");

  function compact(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e6 || size < 1e-3) return value.toExponential(0).replace("e+", "e");
    return String(Number(value.toPrecision(3)));
  }
  function exact(value) {
    const size = Math.abs(value);
    if (value !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2).replace("e+", "e");
    return Number(value.toPrecision(5)).toLocaleString("en", { maximumFractionDigits: 6, useGrouping: false });
  }

  // Index of the point nearest to x in a list sorted by x; -1 for an empty list.
  function nearest(list, x) {
    if (list.length === 0) return -1;
    let low = 0;
    let high = list.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (list[middle].x <= x) low = middle;
      else high = middle;
    }
    return x - list[low].x <= list[high].x - x ? low : high;
  }

  // Powers of ten where the axis spans enough of them; else 1, 2 and 5 as well.
  function logTicks(axis) {
    const decades = Math.log10(axis.max / axis.min);
    const steps = decades > 2.5 ? [1] : decades > 0.9 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
    const every = Math.max(1, Math.ceil(decades / 7));
    const ticks = [];
    for (let power = Math.floor(Math.log10(axis.min)); power <= Math.log10(axis.max); ++power) {
      if (power % every !== 0) continue;
      for (const step of steps) {
        const value = Number((step * 10 ** power).toPrecision(3));
        if (value >= axis.min && value <= axis.max) ticks.push({ value });
      }
    }
    axis.ticks = ticks;
  }
  function paintAxis(axis) {
    axis.grid = { ...axis.grid, color: css("--grid"), borderColor: css("--rule"), tickColor: css("--grid") };
    axis.ticks.color = css("--soft");
    axis.ticks.font = { size: 11 };
    if (!axis.title) return;
    axis.title.color = css("--soft");
    axis.title.font = { size: 11 };
  }

  // How the line number `index` is drawn: colours first, and where they repeat, dashes. page.css has the same for swatches.
  const colours = 7; // --c0 .. --c6
  const dashes = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
  const colour = (index) => css(`--c${index % colours}`);
  const round = (index) => Math.floor(index / colours) % dashes.length;
  const dash = (index) => dashes[round(index)];
  function swatch(index) {
    const element = document.createElement("span");
    element.className = `swatch c${index % colours}${round(index) > 0 ? ` dash${round(index)}` : ""}`;
    return element;
  }

  // Where the vertical axis ends before the visible points do, the figure says how many lie beyond and how far.
  function sayWhatIsOutside(figure, chart) {
    const { x, y } = chart.scales;
    const values = chart.data.datasets
      .filter((dataset, index) => chart.isDatasetVisible(index))
      .flatMap((dataset) => dataset.data.filter((point) => point.y !== null && point.x >= x.min && point.x <= x.max).map((point) => point.y));
    const above = values.filter((value) => value > y.max);
    const below = values.filter((value) => value < y.min);
    const count = (list) => `${list.length} ${list.length === 1 ? "point" : "points"}`;
    const sentences = [];
    if (above.length > 0) sentences.push(`Above this axis: ${count(above)}, the highest at ${exact(above.reduce((a, b) => Math.max(a, b)))}.`);
    if (below.length > 0) sentences.push(`Below this axis: ${count(below)}, the lowest at ${exact(below.reduce((a, b) => Math.min(a, b)))}.`);
    figure.dataset.outside = above.length + below.length;
    figure.querySelector(".outside")?.remove();
    if (sentences.length === 0) return;
    const note = document.createElement("small");
    note.className = "outside";
    note.textContent = sentences.join(" ");
    figure.append(note);
  }

  // A tooltip in HTML: it may leave the canvas, which a list of many lines needs. One per figure, hidden at first.
  function tooltipOf(figure) {
    let box = figure.querySelector(".tooltip");
    if (!box) {
      box = document.createElement("div");
      box.className = "tooltip";
      figure.append(box);
    }
    box.hidden = true;
    return box;
  }
  // Beside the place x, y of the canvas, and inside the figure.
  function placeTooltip(box, canvas, x, y) {
    const inner = canvas.getBoundingClientRect();
    const frame = box.parentElement.getBoundingClientRect();
    const left = inner.left - frame.left + x;
    const right = left + 14 + box.offsetWidth < frame.width;
    box.style.left = `${right ? left + 14 : Math.max(4, left - 14 - box.offsetWidth)}px`;
    box.style.top = `${inner.top - frame.top + y}px`;
  }

  // Calls `rebuild` when light and dark change. Printing is always light, at the paper's width, with nothing folded away.
  function onThemeChange(rebuild) {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);
    matchMedia("print").addEventListener("change", rebuild);
    addEventListener("beforeprint", () => {
      document.querySelectorAll("details:not([open])").forEach((element) => {
        element.open = true;
        element.dataset.reclose = "";
      });
    });
    addEventListener("afterprint", () => {
      document.querySelectorAll("details[data-reclose]").forEach((element) => {
        element.open = false;
        delete element.dataset.reclose;
      });
    });
  }

  // A page that is followed gets new data: its script says what is to be done with them.
  const takers = [];
  const onData = (take) => takers.push(take);
  const publish = (fresh) => takers.forEach((take) => take(fresh));

  const data = JSON.parse(document.getElementById("page-data").textContent);
  return { data, onData, publish, css, fade, compact, exact, nearest, logTicks, paintAxis, colour, dash, swatch, sayWhatIsOutside, tooltipOf, placeTooltip, onThemeChange };
})();
