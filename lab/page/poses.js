// Plays the figures that lab/page/poses.cpp writes: every picture of a figure shows the same moment.
for (const figure of document.querySelectorAll("figure.poses")) {
  const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
  const { view, shapes, dimensions: size } = data;
  const player = figure.querySelector(".player");
  const [button, slider, clock] = ["button", "input", "output"].map((name) => player.querySelector(name));
  const svg = (parent, name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  };

  // A frame but the first is the difference to the one before.
  const stages = [...figure.querySelectorAll(".stage")].map((stage, index) => {
    const frames = [];
    for (const difference of data.rollouts[index].frames) {
      const before = frames.at(-1);
      frames.push(before ? difference.map((value, i) => before[i] + value) : difference);
    }
    return { frames, marks: stage.querySelector(".marks"), lines: [...stage.querySelectorAll(".robot line")] };
  });
  const last = Math.max(...stages.map((stage) => stage.frames.length)) - 1;

  // The numbers at a time between two frames; a shorter roll-out stays at its end.
  function numbersAt(frames, time) {
    const at = Math.min(time, frames.length - 1);
    const [before, part] = [Math.floor(at), at - Math.floor(at)];
    if (part === 0) return frames[before];
    return frames[before].map((value, i) => value + part * (frames[before + 1][i] - value));
  }
  // In metres, beside the camera.
  function place(x, depth, height) {
    return [view.width / 2 + view.scale * (x + view.across * depth), view.ground - view.scale * (height + view.up * depth)];
  }
  function draw(stage, time) {
    const numbers = numbersAt(stage.frames, time);
    const point = (index) => numbers.slice(index * size, (index + 1) * size).map((value) => value / 1000);
    const ends = shapes.map(([, from, to]) => [point(from), point(to)]);
    const camera = ends[0][0].map((value, k) => (value + ends[0][1][k]) / 2);
    const seen = (at) => place(at[0] - camera[0], size === 3 ? at[1] - camera[1] : 0, at[size - 1]);
    ends.forEach(([from, to], index) => {
      const [[x1, y1], [x2, y2]] = [seen(from), seen(to)];
      for (const line of stage.lines.slice(2 * index, 2 * index + 2))
        for (const [key, value] of Object.entries({ x1, y1, x2, y2 })) line.setAttribute(key, value.toFixed(1));
    });
    drawMarks(stage.marks, camera);
  }
  // A line where the ground is, and a mark at every metre.
  function drawMarks(marks, camera) {
    marks.replaceChildren();
    svg(marks, "line", { x1: 0, y1: view.ground, x2: view.width, y2: view.ground });
    const half = view.width / view.scale / 2;
    for (let metre = Math.ceil(camera[0] - half); metre <= camera[0] + half; ++metre) {
      const reach = size === 3 ? view.reach : 0;
      const [x1, y1] = place(metre - camera[0], -reach, 0);
      const [x2, y2] = place(metre - camera[0], reach, 0);
      svg(marks, "line", size === 3 ? { x1, y1, x2, y2 } : { x1, y1, x2, y2: y1 + 5 });
      if (x1 < 24 || x1 > view.width - 24) continue;
      svg(marks, "text", { x: x1, y: view.height - 8, "text-anchor": "middle" }).textContent = `${metre} m`;
    }
  }

  let time = 0;
  let playing = false;
  let request = 0; // for the next picture
  let started = null; // by the clock of the animation, when it showed the moment `from`
  let from = 0;
  function show(moment) {
    time = moment;
    slider.value = Math.round(time);
    clock.textContent = `${(time * data.seconds_per_frame).toFixed(1)} s`;
    slider.setAttribute("aria-valuetext", clock.textContent);
    for (const stage of stages) draw(stage, time);
  }
  function tick(now) {
    // Not by the clock of the click, which may be ahead of that of the pictures.
    started ??= now;
    const moment = from + (now - started) / 1000 / data.seconds_per_frame;
    if (moment >= last) pause(last);
    else {
      show(moment);
      request = requestAnimationFrame(tick);
    }
  }
  function play() {
    from = time >= last ? 0 : time;
    playing = true;
    started = null;
    button.textContent = "Pause";
    request = requestAnimationFrame(tick);
  }
  function pause(moment) {
    playing = false;
    cancelAnimationFrame(request);
    button.textContent = "Play";
    show(moment);
  }
  button.addEventListener("click", () => (playing ? pause(Math.round(time)) : play()));
  slider.addEventListener("input", () => pause(Number(slider.value)));
  player.hidden = false;
  show(0);
}
