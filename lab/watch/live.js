// Takes what the server says of the runs, and changes the page by it.
(() => {
  const { events, page } = shell.data.watch;
  const connection = document.getElementById("connection");
  const rows = document.getElementById("rows");
  const known = { parts: {}, data: {} };

  // What difference.hpp says: [value], or an object with the changes of members or elements. `value` stays as it is.
  function changed(value, change) {
    if (Array.isArray(change)) return change[0];
    const copy = Array.isArray(value) ? [...value] : { ...value };
    for (const [key, inner] of Object.entries(change)) copy[key] = changed(value[key], inner);
    return copy;
  }

  // What somebody has opened, moved, ticked or is at with the keyboard stays so.
  const withStates = "details, input, .scroll";
  const atKeyboard = "a, button, input, summary, [tabindex]";
  function replace(element, html) {
    const states = [...element.querySelectorAll(withStates)].map(({ open, checked, scrollLeft }) => ({ open, checked, scrollLeft }));
    const focus = [...element.querySelectorAll(atKeyboard)].indexOf(document.activeElement);
    element.innerHTML = html;
    element.querySelectorAll(withStates).forEach((each, index) => {
      if (!states[index]) return;
      if (each.localName === "details") each.open = states[index].open;
      if (each.localName === "input") each.checked = states[index].checked;
      if (states[index].scrollLeft) each.scrollLeft = states[index].scrollLeft;
    });
    if (focus >= 0) element.querySelectorAll(atKeyboard)[focus]?.focus({ preventScroll: true });
  }
  function elementOf(name) {
    const element = document.querySelector(`[data-part="${name}"]`);
    if (element || !name.startsWith("row-")) return element;
    const row = rows.insertRow();
    row.dataset.part = name;
    return row;
  }

  function take({ page: newPage, now, parts, data }) {
    // Charts, or what belongs to them, have come or gone.
    if (newPage !== page) {
      location.reload();
      return;
    }
    clock = Date.now() - now;
    if (parts) {
      const before = known.parts;
      known.parts = changed(known.parts, parts);
      for (const [name, html] of Object.entries(known.parts)) if (html !== before[name]) replace(elementOf(name), html);
      filterRows();
    }
    if (data) {
      known.data = changed(known.data, data);
      shell.publish(known.data);
    }
    tellAges();
  }

  // How far this browser's clock is ahead of the server's.
  let clock = 0;
  function age(milliseconds) {
    const seconds = Math.max(0, Math.round(milliseconds / 1000));
    if (seconds < 60) return `${seconds} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    return seconds < 2 * 86400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} d ago`;
  }
  function tellAges() {
    const now = Date.now() - clock;
    document.querySelectorAll("time[data-changed]").forEach((time) => {
      time.title ||= time.textContent;
      time.textContent = age(now - Number(time.dataset.changed));
    });
  }

  const filter = document.getElementById("filter");
  const show = document.getElementById("show-chosen");
  const chosen = () => [...rows.querySelectorAll("input:checked")].map((box) => box.dataset.number);
  function filterRows() {
    const words = filter.value.toLowerCase().trim();
    for (const row of rows.rows) row.hidden = !row.textContent.toLowerCase().includes(words);
  }
  filter.addEventListener("input", filterRows);
  rows.addEventListener("change", () => {
    show.disabled = chosen().length === 0;
  });
  show.addEventListener("click", () => location.assign(`/?show=${chosen().join(",")}`));
  document.getElementById("chooser").hidden = false;

  function say(text, ok) {
    connection.textContent = text;
    connection.classList.toggle("lost", !ok);
  }
  function connect() {
    const source = new EventSource(events);
    source.onmessage = (message) => {
      say("Connected: what is written is shown.", true);
      take(JSON.parse(message.data));
    };
    source.onerror = () => {
      say("Not connected: trying again.", false);
      // The browser tries again on its own, unless the server has answered with an error.
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(connect, 5000);
    };
  }
  connect();
  setInterval(tellAges, 1000);
})();
