// Runs in a page before its own scripts. Writes down every text that is put on a canvas, and tells by `probe()` what
// charts and texts the page shows.
(() => {
  const texts = new WeakMap(); // of a canvas: what has been written on it since it was last wiped
  const of = (canvas) => texts.get(canvas) ?? texts.set(canvas, []).get(canvas);
  const prototype = CanvasRenderingContext2D.prototype;

  const clearRect = prototype.clearRect;
  prototype.clearRect = function (x, y, width, height) {
    const [left, top, right, bottom] = corners(this, x, y, x + width, y + height);
    if (left <= 0 && top <= 0 && right >= this.canvas.width - 1 && bottom >= this.canvas.height - 1) texts.delete(this.canvas);
    return clearRect.call(this, x, y, width, height);
  };
  const fillText = prototype.fillText;
  prototype.fillText = function (text, x, y, most) {
    if (String(text).trim() !== "") {
      const size = this.measureText(text);
      const width = size.actualBoundingBoxLeft + size.actualBoundingBoxRight;
      of(this.canvas).push({
        text: String(text),
        box: corners(this, x - size.actualBoundingBoxLeft, y - size.actualBoundingBoxAscent, x + size.actualBoundingBoxRight, y + size.actualBoundingBoxDescent),
        squeezed: most !== undefined && width > most + 1,
      });
    }
    return most === undefined ? fillText.call(this, text, x, y) : fillText.call(this, text, x, y, most);
  };
  // The rectangle around a rectangle after the context's transformation, in pixels of the canvas.
  function corners(context, left, top, right, bottom) {
    const matrix = context.getTransform();
    const points = [[left, top], [right, top], [left, bottom], [right, bottom]].map(([x, y]) => matrix.transformPoint({ x, y }));
    const [xs, ys] = [points.map((p) => p.x), points.map((p) => p.y)];
    return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  }

  const isShown = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true, opacityProperty: true, visibilityProperty: true });
  const finite = (value) => (Number.isFinite(value) ? value : null);

  // Text of the document, line by line; `hiddenIn` is the box of an ancestor that cuts off what lies outside.
  function documentTexts() {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const parent = node.parentElement;
      if (node.data.trim() === "" || parent.closest("script, style, noscript, canvas") || !isShown(parent)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      const { seenFrom, seenTo, ...frame } = limitsOf(parent);
      for (const rect of range.getClientRects()) {
        if (rect.width < 0.5 || rect.height < 0.5) continue;
        const box = [rect.left + scrollX, Math.max(rect.top + scrollY, seenFrom), rect.right + scrollX, Math.min(rect.bottom + scrollY, seenTo)];
        if (box[3] - box[1] < 0.5) continue;
        found.push({ text: node.data.trim().slice(0, 60), box, ...frame });
      }
    }
    return found;
  }
  // Within what a text must stay: the nearest ancestor that hides what sticks out, and its figure. Where an ancestor scrolls, what
  // sticks out can be reached; what is scrolled out of it upwards or downwards is not seen.
  function limitsOf(element) {
    let [hiddenIn, figure, scrolls, seenFrom, seenTo] = [null, null, false, -Infinity, Infinity];
    for (let at = element; at && at !== document.body; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (/auto|scroll/.test(style.overflowY)) {
        const [, top, , bottom] = boxOf(at);
        [seenFrom, seenTo] = [Math.max(seenFrom, top), Math.min(seenTo, bottom)];
      }
      if (/auto|scroll/.test(style.overflowX)) scrolls = true;
      else if (/hidden|clip/.test(style.overflowX) && !scrolls && !hiddenIn) hiddenIn = boxOf(at);
      if (at.localName === "figure" && !scrolls) figure = boxOf(at);
    }
    return { hiddenIn, figure, scrolls, seenFrom, seenTo };
  }
  function boxOf(element) {
    const rect = element.getBoundingClientRect();
    return [rect.left + scrollX, rect.top + scrollY, rect.right + scrollX, rect.bottom + scrollY];
  }

  // Text on a canvas in the coordinates of the document.
  function canvasTexts(canvas) {
    const frame = boxOf(canvas);
    const [across, down] = [(frame[2] - frame[0]) / canvas.width, (frame[3] - frame[1]) / canvas.height];
    const place = ([left, top, right, bottom]) => [frame[0] + left * across, frame[1] + top * down, frame[0] + right * across, frame[1] + bottom * down];
    return of(canvas).map(({ text, box, squeezed }) => ({ text, squeezed, box: place(box), hiddenIn: frame, figure: null, scrolls: false }));
  }

  function axisOf(scale) {
    return { type: scale.type, min: scale.min, max: scale.max,
      ticks: scale.ticks.map((tick) => ({ value: tick.value, label: [tick.label ?? ""].flat().join(" "), pixel: scale.getPixelForValue(tick.value) })) };
  }
  function chartOf(canvas) {
    const chart = Chart.getChart(canvas);
    const figure = canvas.closest("figure");
    const about = { title: figure?.querySelector("figcaption b")?.textContent ?? "", name: figure?.dataset.chart ?? figure?.dataset.map ?? "",
      outside: Number(figure?.dataset.outside ?? 0), texts: canvasTexts(canvas) };
    if (!chart) return { ...about, missing: true };
    const { left, top, right, bottom } = chart.chartArea;
    const datasets = chart.data.datasets.map((dataset, index) => ({
      role: dataset.role ?? "", name: dataset.name ?? "", arm: dataset.arm ?? "", run: dataset.run ?? null, group: dataset.group ?? null,
      visible: chart.isDatasetVisible(index), given: dataset.data.length,
      points: chart.getDatasetMeta(index).data.map((element, at) => {
        const { x, y } = element.getProps(["x", "y"]);
        return [dataset.data[at].at ?? dataset.data[at].x, dataset.data[at].y, finite(x), finite(y)];
      }),
    }));
    return { ...about, area: [left, top, right, bottom], x: axisOf(chart.scales.x), y: axisOf(chart.scales.y), datasets };
  }

  window.probe = () => {
    const canvases = [...document.querySelectorAll("canvas")].filter(isShown);
    const charts = canvases.map(chartOf);
    return {
      width: document.documentElement.clientWidth,
      scrollWidth: document.documentElement.scrollWidth,
      charts,
      texts: [...documentTexts(), ...charts.flatMap((chart) => chart.texts)],
      placeholders: document.querySelectorAll(".plot .empty").length,
    };
  };
})();
