
// The page of a connectivity report. Texts of hosts get into the page as text alone (textContent, fillText).
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const edges = data.edges;
  const names = data.names;
  const many = edges.start.length;

  const GOOD = 0, UNREACHED = 1, REFUSED = 2, UNTOLD = 3;
  const SAID = ["good", "not reached", "not let in", "could not be told"];
  const CLASSES = ["good", "unreached", "refused", "untold"];
  const MARKS = ["✓", "✕", "–", "?"];
  const PATHS = ["–", "direct", "relay"];
  const ROWS = 100;                      // of the table of edges, at first and with each "Show more"
  const SMALL = 10, LARGEST = 46;        // pixels of a cell: with labels from here on; never more than this
  const NEAR = 5;                        // pixels around the pointer in which an edge is looked for
  const EVERYTHING = 4000;               // edges that are all drawn at first, even where some are in trouble

  const byId = (id) => document.getElementById(id);
  const canvas = byId("cells"), overlay = byId("cursor"), frame = byId("frame"), tip = byId("tip");
  const number = new Intl.NumberFormat("en").format;
  const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

  const place = new Map();               // the edge of a pair of nodes
  for (let edge = 0; edge < many; edge++) place.set(edges.start[edge] * names.length + edges.end[edge], edge);
  const edgeOf = (start, end) => place.get(start * names.length + end);

  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function milliseconds(value) {
    if (value === null || value === undefined) return "–";
    return value < 10 ? `${value.toFixed(2)} ms` : value < 100 ? `${value.toFixed(1)} ms` : `${number(Math.round(value))} ms`;
  }

  // --- What is shown ------------------------------------------------------------------------------------

  const controls = { search: byId("search"), show: byId("show"), group: byId("group"), order: byId("order") };
  const SHOWS = {
    all: ["all edges", () => true],
    trouble: ["only trouble", (edge) => edges.state[edge] !== GOOD],
    relay: ["only over a relay", (edge) => edges.path[edge] === 2],
    changed: ["only what changed", (edge) => edges.changed !== undefined && edges.changed[edge] === 1],
  };
  let view = { rows: [], columns: [], rowOf: [], columnOf: [], isShown: () => true, listed: [] };

  function fillControls() {
    for (const [value, [text, is]] of Object.entries(SHOWS)) {
      let count = 0;
      for (let edge = 0; edge < many; edge++) count += is(edge);
      if (count || value === "all") controls.show.append(new Option(`${text} (${number(count)})`, value));
    }
    controls.group.append(new Option("all", ""), ...data.groups.map((name, index) => new Option(name, index)));
    controls.group.closest("label").hidden = data.groups.length === 0;
  }

  function setToFirstView() {
    controls.search.value = controls.group.value = "";
    controls.order.value = "number";
    const trouble = [...controls.show.options].some((option) => option.value === "trouble");
    controls.show.value = trouble && many > EVERYTHING ? "trouble" : "all";
  }

  function matchingNodes() {
    const words = controls.search.value.trim().toLowerCase(), group = controls.group.value;
    if (!words && group === "") return null;
    return names.map((name, node) =>
      (group === "" || data.in[node].includes(Number(group))) &&
      (!words || name.toLowerCase().includes(words) || data.numbers[node] === words ||
        data.in[node].some((each) => data.groups[each].toLowerCase().includes(words))));
  }

  const RANKS = ["down", "not asked", "trouble", "good"];
  const ORDERS = {
    number: (one, other) => one - other,
    name: (one, other) => names[one].localeCompare(names[other], "en", { numeric: true }) || one - other,
    worst: (one, other) => RANKS.indexOf(data.states[one]) - RANKS.indexOf(data.states[other]) || one - other,
  };

  function look() {
    const matching = matchingNodes();
    const [, isOf] = SHOWS[controls.show.value];
    const isShown = (edge) => isOf(edge) && (!matching || matching[edges.start[edge]] || matching[edges.end[edge]]);
    const starts = new Set(), ends = new Set(), listed = [];
    for (let edge = 0; edge < many; edge++) {
      if (!isShown(edge)) continue;
      starts.add(edges.start[edge]);
      ends.add(edges.end[edge]);
      listed.push(edge);
    }
    const order = ORDERS[controls.order.value];
    // Where several nodes checked, rows and columns are the same nodes, and the diagonal is theirs.
    const both = starts.size > 1 ? new Set([...starts, ...ends]) : null;
    const rows = [...(both || starts)].sort(order), columns = [...(both || ends)].sort(order);
    view = { rows, columns, rowOf: indexOf(rows), columnOf: indexOf(columns), isShown, listed };
    const nodes = new Set();
    names.forEach((_, node) => {
      const hasPart = starts.has(node) || ends.has(node) || controls.show.value === "all";
      if (matching ? matching[node] : hasPart) nodes.add(node);
    });
    for (const row of document.querySelectorAll("[data-row]")) row.hidden = !nodes.has(Number(row.dataset.row));
    byId("shown").textContent = nodes.size === names.length && listed.length === many ? "" :
      `${number(nodes.size)} of ${counted(names.length, "node")}, ${number(listed.length)} of ${counted(many, "edge")}`;
    listed.sort((one, other) => (edges.state[other] !== GOOD) - (edges.state[one] !== GOOD) ||
      edges.state[one] - edges.state[other] || (edges.rtt[other] ?? 0) - (edges.rtt[one] ?? 0) || one - other);
    byId("rows").replaceChildren();
    listMore();
    draw();
  }

  function indexOf(nodes) {
    const found = new Array(names.length).fill(-1);
    nodes.forEach((node, index) => { found[node] = index; });
    return found;
  }

  // --- The matrix ---------------------------------------------------------------------------------------

  let layout = { cell: 1, left: 0, top: 0 };
  let colours = {};
  const times = edges.rtt.filter((rtt) => rtt !== null && rtt > 0);
  const fastest = times.reduce((least, rtt) => Math.min(least, rtt), Infinity);
  const slowest = Math.max(times.reduce((most, rtt) => Math.max(most, rtt), 0), 4 * fastest);
  const warmth = (rtt) => rtt > 0 ? Math.log(rtt / fastest) / Math.log(slowest / fastest) : 0;

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    colours = Object.fromEntries(["sheet", "ink", "soft", "line", "accent", "bad", "bad-fill", "bad-sign", "refused-fill",
      "refused-sign", "untold-fill", "untold-sign", "relay", "self", "mark"].map((name) => [name, read(name)]));
    const ramp = ["fast", "middle", "slow"].map(read).map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    colours.ramp = Array.from({ length: 65 }, (_, step) => {
      const [from, to, share] = step < 32 ? [ramp[0], ramp[1], step / 32] : [ramp[1], ramp[2], (step - 32) / 32];
      return from.map((value, channel) => Math.round(value + (to[channel] - value) * share));
    });
  }

  const heat = (rtt) => colours.ramp[rtt === null ? 0 : Math.round(64 * Math.min(1, Math.max(0, warmth(rtt))))];
  const fills = [null, "bad-fill", "refused-fill", "untold-fill"];
  const signs = [null, "bad-sign", "refused-sign", "untold-sign"];
  const font = (size, weight = 400) => `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;

  const short = (name) => name.length > 22 ? `${name.slice(0, 12)}…${name.slice(-9)}` : name;
  const labelOf = (node) => (data.states[node] === "down" ? "✕ " : "") + short(names[node]);

  function measure(pen) {
    const room = Math.max(200, frame.clientWidth), { rows, columns } = view;
    pen.font = font(12, 600);
    const widest = Math.ceil(Math.max(0, ...[...rows, ...columns].map((node) => pen.measureText(labelOf(node)).width))) + 12;
    let cell = Math.min(LARGEST, Math.floor((room - widest - 2) / Math.max(1, columns.length)));
    const labelled = cell >= SMALL;
    const left = labelled ? widest : 14;
    const flat = labelled && widest <= cell;
    if (!labelled) cell = Math.max(1, (room - left - 2) / Math.max(1, columns.length));
    if (cell > 4) cell = Math.floor(cell);
    layout = { cell, left, top: flat ? 22 : left, labelled, flat };
    return [left + cell * columns.length + 2, layout.top + cell * rows.length + 2];
  }

  function sized(layer, width, height) {
    const scale = window.devicePixelRatio || 1, pen = layer.getContext("2d");
    layer.width = Math.ceil(width * scale);
    layer.height = Math.ceil(height * scale);
    layer.style.width = `${width}px`;
    layer.style.height = `${height}px`;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    return pen;
  }

  function draw() {
    readColours();
    const [width, height] = measure(canvas.getContext("2d"));
    const pen = sized(canvas, width, height);
    sized(overlay, width, height);
    drawLabels(pen);
    if (layout.cell >= 6) drawGrid(pen);
    const bad = [];
    for (let edge = 0; edge < many; edge++) {
      const row = view.rowOf[edges.start[edge]], column = view.columnOf[edges.end[edge]];
      if (row < 0 || column < 0) continue;
      if (edges.state[edge] === GOOD) drawGood(pen, edge, row, column); else bad.push([edge, row, column]);
    }
    // Last, so that in the smallest cells nothing covers them.
    bad.sort(([one], [other]) => edges.state[other] - edges.state[one]);
    for (const [edge, row, column] of bad) drawBad(pen, edge, row, column);
    pen.globalAlpha = 1;
    drawCursor();
  }

  const corner = (row, column) => [layout.left + column * layout.cell, layout.top + row * layout.cell];

  function drawGrid(pen) {
    const { cell } = layout;
    view.rows.forEach((node, row) => view.columns.forEach((other, column) => {
      const [x, y] = corner(row, column);
      if (node === other) {
        pen.fillStyle = colours.self;
        pen.fillRect(x, y, cell - 1, cell - 1);
      } else if (cell >= SMALL && edgeOf(node, other) === undefined) {
        pen.fillStyle = colours.line;
        pen.fillRect(x + cell / 2 - 1, y + cell / 2 - 1, 1, 1);
      }
    }));
  }

  function drawGood(pen, edge, row, column) {
    const { cell } = layout, [x, y] = corner(row, column);
    const [red, green, blue] = heat(edges.rtt[edge]);
    pen.globalAlpha = view.isShown(edge) ? 1 : 0.25;
    pen.fillStyle = `rgb(${red},${green},${blue})`;
    const side = cell >= 6 ? cell - 1 : Math.max(cell, 2);
    pen.fillRect(x, y, side, side);
    const isLight = 0.299 * red + 0.587 * green + 0.114 * blue > 140;
    if (cell >= 40) {
      pen.fillStyle = isLight ? "#0b1620" : "#ffffff";
      pen.font = font(12);
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      const rtt = edges.rtt[edge];
      const text = rtt === null ? "✓" : rtt < 10 ? rtt.toFixed(1) : Math.round(rtt);
      pen.fillText(text, x + side / 2, y + side / 2);
    }
    if (edges.path[edge] === 2 && cell >= 8) {
      pen.fillStyle = colours.relay;
      pen.beginPath();
      if (cell >= 40) pen.arc(x + side - 6, y + 6, 3.5, 0, 7); else pen.arc(x + side / 2, y + side / 2, Math.max(2, cell / 7), 0, 7);
      pen.fill();
    }
  }

  function drawBad(pen, edge, row, column) {
    const { cell } = layout, state = edges.state[edge];
    const side = cell >= 6 ? cell - 1 : Math.max(cell, 5);
    let [x, y] = corner(row, column);
    if (cell < 6) [x, y] = [x + (cell - side) / 2, y + (cell - side) / 2];
    pen.globalAlpha = view.isShown(edge) ? 1 : 0.25;
    pen.fillStyle = colours[fills[state]];
    pen.fillRect(x, y, side, side);
    if (side < 7) return;
    pen.strokeStyle = pen.fillStyle = colours[signs[state]];
    pen.lineWidth = Math.max(1.25, side / 10);
    const inset = side * 0.28;
    pen.beginPath();
    if (state === UNREACHED) {
      pen.moveTo(x + inset, y + inset); pen.lineTo(x + side - inset, y + side - inset);
      pen.moveTo(x + side - inset, y + inset); pen.lineTo(x + inset, y + side - inset);
    } else if (state === REFUSED) {
      pen.moveTo(x + inset, y + side / 2); pen.lineTo(x + side - inset, y + side / 2);
    } else {
      pen.font = font(Math.round(side * 0.75), 700);
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText("?", x + side / 2, y + side / 2 + 1);
    }
    pen.stroke();
  }

  function drawLabels(pen) {
    const { cell, left, top, labelled, flat } = layout;
    pen.textBaseline = "middle";
    const size = Math.min(12, cell);
    view.rows.forEach((node, row) => {
      const isDown = data.states[node] === "down", y = top + (row + 0.5) * cell;
      pen.fillStyle = isDown ? colours.bad : colours.ink;
      pen.font = font(size, isDown ? 700 : 400);
      pen.textAlign = "right";
      if (labelled) pen.fillText(labelOf(node), left - 8, y);
      else if (isDown) { pen.fillStyle = colours["bad-fill"]; pen.fillRect(0, y - Math.max(2, cell / 2), left - 3, Math.max(4, cell)); }
    });
    view.columns.forEach((node, column) => {
      const isDown = data.states[node] === "down", x = left + (column + 0.5) * cell;
      pen.fillStyle = isDown ? colours.bad : colours.ink;
      pen.font = font(size, isDown ? 700 : 400);
      if (!labelled) {
        if (isDown) { pen.fillStyle = colours["bad-fill"]; pen.fillRect(x - Math.max(2, cell / 2), 0, Math.max(4, cell), top - 3); }
      } else if (flat) {
        pen.textAlign = "center";
        pen.fillText(labelOf(node), x, top - 11);
      } else {
        pen.save();
        pen.translate(x, top - 8);
        pen.rotate(-Math.PI / 2);
        pen.textAlign = "left";
        pen.fillText(labelOf(node), 0, 0);
        pen.restore();
      }
    });
  }

  // --- One edge -----------------------------------------------------------------------------------------

  let hovered = null, kept = null;       // pairs [start, end]

  const isInView = (pair) => pair && view.rowOf[pair[0]] >= 0 && view.columnOf[pair[1]] >= 0;

  function drawCursor() {
    const pen = overlay.getContext("2d"), { cell, left, top } = layout;
    const width = left + cell * view.columns.length, height = top + cell * view.rows.length;
    pen.clearRect(0, 0, width + 4, height + 4);
    for (const pair of [kept, hovered]) {
      if (!isInView(pair)) continue;
      const [x, y] = corner(view.rowOf[pair[0]], view.columnOf[pair[1]]), side = Math.max(cell, 3);
      pen.fillStyle = colours.accent;
      pen.globalAlpha = 0.16;
      pen.fillRect(0, y, width, side);
      pen.fillRect(x, 0, side, height);
      pen.globalAlpha = 1;
      pen.strokeStyle = pair === kept ? colours.ink : colours.accent;
      pen.lineWidth = 2;
      const frameSide = Math.max(side + 1, 9), shift = (frameSide - side) / 2;
      pen.strokeRect(x - shift, y - shift, frameSide, frameSide);
    }
  }

  function sayIn(words, start, end) {
    const edge = edgeOf(start, end);
    if (start === end) return `${names[start]}${words}itself`;
    const pair = `${names[start]}${words}${names[end]}`;
    if (edge === undefined) return `${pair}: not checked`;
    const state = edges.state[edge];
    return `${pair}: ${state === GOOD ? milliseconds(edges.rtt[edge]) : SAID[state]}`;
  }

  function describe(pair) {
    const box = byId("details");
    byId("edge").classList.toggle("kept", pair !== null && pair === kept);
    if (pair === null) {
      byId("edge-title").textContent = "Edge";
      box.replaceChildren(element("p", "Point at a cell, or choose something that is wrong."));
      return;
    }
    const [start, end] = pair, edge = edgeOf(start, end);
    byId("edge-title").textContent = `${names[start]} → ${names[end]}`;
    if (edge === undefined) {
      box.replaceChildren(element("p", start === end ? "A node does not check itself." : "This edge was not checked."));
      return;
    }
    const list = element("dl"), state = edges.state[edge];
    const add = (name, value, className) => list.append(element("dt", name), element("dd", value, className));
    add("State", `${MARKS[state]} ${SAID[state]}`, `state ${CLASSES[state]}`);
    const error = data.errors[edges.error[edge]];
    if (error) { add("Error", error[0]); add("", error[1]); }
    add("Path", PATHS[edges.path[edge]]);
    add("Round trip", milliseconds(edges.rtt[edge]));
    add("Attempts", number(edges.attempts[edge]));
    add("Waited", `${edges.waited[edge]} s`);
    add("Id matched", edges.matched[edge] ? "yes" : "no");
    add("Let in", edges.admitted[edge] ? "yes" : "no");
    const back = edgeOf(end, start);
    if (back !== undefined) {
      add("Way back", `${MARKS[edges.state[back]]} ${edges.state[back] === GOOD ? milliseconds(edges.rtt[back]) : SAID[edges.state[back]]}`);
    }
    if (edges.was && edges.was[edge] >= 0) {
      const was = edges.was[edge];
      add("Before", `${MARKS[was]} ${was === GOOD ? milliseconds(edges.wasRtt[edge]) : SAID[was]}`);
    }
    box.replaceChildren(list);
  }

  function hover(pair) {
    hovered = pair;
    drawCursor();
    describe(kept || pair);
  }

  function keep(pair, isFocused) {
    kept = pair;
    hovered = null;
    if (pair && !isInView(pair)) { setToFirstView(); if (!isShownNow(pair)) controls.show.value = "all"; look(); }
    drawCursor();
    describe(pair);
    chooseInGraph(pair);
    byId("says").textContent = pair ? sayIn(" to ", pair[0], pair[1]) : "";
    if (pair && isFocused) scrollToCell(pair);
  }

  function isShownNow([start, end]) {
    const edge = edgeOf(start, end);
    return edge !== undefined && SHOWS[controls.show.value][1](edge);
  }

  function scrollToCell(pair) {
    const [x, y] = corner(view.rowOf[pair[0]], view.columnOf[pair[1]]), box = frame.getBoundingClientRect();
    if (x < frame.scrollLeft || x > frame.scrollLeft + frame.clientWidth - 40) frame.scrollLeft = Math.max(0, x - frame.clientWidth / 2);
    if (box.top + y < 80 || box.top + y > window.innerHeight - 60) window.scrollBy(0, box.top + y - window.innerHeight / 2);
  }

  function pairAt(event) {
    const box = overlay.getBoundingClientRect(), { cell, left, top } = layout;
    const column = Math.floor((event.clientX - box.left - left) / cell), row = Math.floor((event.clientY - box.top - top) / cell);
    if (row < 0 || column < 0 || row >= view.rows.length || column >= view.columns.length) return null;
    const pair = [view.rows[row], view.columns[column]];
    return cell >= 2 * NEAR ? pair : nearest(row, column) || pair;
  }

  // In the smallest cells, the edge that was meant: a bad one before a nearer one.
  function nearest(row, column) {
    const reach = Math.ceil(NEAR / layout.cell);
    let best = null, least = Infinity;
    for (let down = -reach; down <= reach; down++) for (let right = -reach; right <= reach; right++) {
      const start = view.rows[row + down], end = view.columns[column + right];
      const edge = start === undefined || end === undefined ? undefined : edgeOf(start, end);
      if (edge === undefined) continue;
      const distance = down * down + right * right + (edges.state[edge] === GOOD ? 1000 : 0);
      if (distance < least) { least = distance; best = [start, end]; }
    }
    return best;
  }

  overlay.addEventListener("pointermove", (event) => {
    const pair = pairAt(event);
    hover(pair);
    tip.hidden = !pair;
    if (!pair) return;
    tip.textContent = sayIn(" → ", pair[0], pair[1]);
    const box = frame.getBoundingClientRect();
    const x = event.clientX - box.left + frame.scrollLeft, y = event.clientY - box.top;
    tip.style.left = `${Math.max(0, Math.min(x + 14, frame.scrollLeft + frame.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y > 60 ? y - 42 : y + 22}px`;
  });
  overlay.addEventListener("pointerleave", () => { tip.hidden = true; hover(null); });
  overlay.addEventListener("click", (event) => {
    const pair = pairAt(event);
    keep(kept && pair && kept[0] === pair[0] && kept[1] === pair[1] ? null : pair);
  });

  // --- Keys ---------------------------------------------------------------------------------------------

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  function step([down, right]) {
    if (!isInView(kept)) return firstPair();
    let row = view.rowOf[kept[0]] + down, column = view.columnOf[kept[1]] + right;
    while (row >= 0 && column >= 0 && row < view.rows.length && column < view.columns.length) {
      if (edgeOf(view.rows[row], view.columns[column]) !== undefined) return [view.rows[row], view.columns[column]];
      row += down;
      column += right;
    }
    return kept;
  }

  function firstPair() {
    const edge = view.listed[0];
    return edge === undefined ? null : [edges.start[edge], edges.end[edge]];
  }

  function nextBad() {
    const bad = view.listed.filter((edge) => edges.state[edge] !== GOOD);
    if (!bad.length) return kept;
    const now = kept ? bad.indexOf(edgeOf(...kept)) : -1, edge = bad[(now + 1) % bad.length];
    return [edges.start[edge], edges.end[edge]];
  }

  overlay.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (STEPS[event.key]) keep(step(STEPS[event.key]), true);
    else if (event.key === "Enter") keep(kept || firstPair(), true);
    else return;
    event.preventDefault();
  });

  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input, select");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") letGo();
    else if (event.key === "/" && !isTyping) { controls.search.focus(); controls.search.select(); }
    else if (event.key === "n" && !isTyping) keep(nextBad(), true);
    else return;
    event.preventDefault();
  });

  function letGo() {
    tip.hidden = true;
    if (kept) { keep(null); return; }
    setToFirstView();
    look();
  }

  // --- Lists --------------------------------------------------------------------------------------------

  function listMore() {
    const rows = byId("rows"), from = rows.children.length;
    for (const edge of view.listed.slice(from, from + ROWS)) rows.append(rowOf(edge));
    byId("more").hidden = view.listed.length <= rows.children.length;
    if (!view.listed.length) {
      const cell = element("td", "No edge is like that.");
      cell.colSpan = 7;
      rows.replaceChildren(element("tr"));
      rows.firstChild.append(cell);
    }
  }

  function rowOf(edge) {
    const row = element("tr"), head = element("th"), state = edges.state[edge];
    const button = element("button", `${names[edges.start[edge]]} → ${names[edges.end[edge]]}`, "link");
    button.type = "button";
    button.dataset.start = edges.start[edge];
    button.dataset.end = edges.end[edge];
    head.scope = "row";
    head.append(button);
    const error = data.errors[edges.error[edge]];
    row.append(head, element("td", `${MARKS[state]} ${SAID[state]}`, `state ${CLASSES[state]}`),
      element("td", PATHS[edges.path[edge]]), element("td", milliseconds(edges.rtt[edge]), "number"),
      element("td", number(edges.attempts[edge])), element("td", `${edges.waited[edge]} s`, "number"),
      element("td", error ? `${error[0]}: ${error[1]}` : ""));
    return row;
  }

  // A row or a column stands for its first bad edge.
  function pairOf({ start, end }) {
    if (start !== undefined && end !== undefined) return [Number(start), Number(end)];
    let found = null;
    for (let edge = 0; edge < many; edge++) {
      const isIts = start !== undefined ? edges.start[edge] === Number(start) : edges.end[edge] === Number(end);
      if (isIts && (found === null || (edges.state[edge] !== GOOD && edges.state[found] === GOOD))) found = edge;
    }
    return found === null ? null : [edges.start[found], edges.end[found]];
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.link");
    if (!button) return;
    if (button.dataset.node !== undefined) {
      setToFirstView();
      controls.show.value = "all";
      controls.search.value = names[Number(button.dataset.node)];
      look();
      byId("matrix").scrollIntoView();
    } else keep(pairOf(button.dataset), true);
  });

  // --- The graph ----------------------------------------------------------------------------------------

  const lines = new Map();
  const svg = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };

  function drawGraph() {
    const box = byId("circle");
    if (!box) return;
    const radius = 200, middle = [360, 250], count = names.length;
    const spot = (node, far) => {
      const angle = 2 * Math.PI * node / count - Math.PI / 2;
      return [middle[0] + far * Math.cos(angle), middle[1] + far * Math.sin(angle)];
    };
    const picture = svg("svg", { viewBox: "0 0 720 500", role: "img", "aria-label": "The nodes in a circle with all edges; the matrix and the tables have the same" });
    const order = [...Array(many).keys()].sort((one, other) => edges.state[one] - edges.state[other]);
    for (const edge of order) {
      const [x, y] = spot(edges.start[edge], radius), [u, v] = spot(edges.end[edge], radius);
      // Bent, so that the two directions are two lines.
      const bend = [(x + u) / 2 + (v - y) * 0.07, (y + v) / 2 - (u - x) * 0.07];
      const path = `M${x} ${y} Q${bend[0]} ${bend[1]} ${u} ${v}`;
      const line = svg("path", { d: path, class: `edge ${CLASSES[edges.state[edge]]}` });
      const hit = svg("path", { d: path, class: "hit" });
      hit.addEventListener("click", () => keep([edges.start[edge], edges.end[edge]], false));
      const title = svg("title", {});
      title.textContent = sayIn(" → ", edges.start[edge], edges.end[edge]);
      hit.append(title);
      picture.append(line, hit);
      lines.set(edge, line);
      if (edges.state[edge] === UNREACHED || edges.state[edge] === REFUSED) {
        // Nearer to the end that was not reached.
        const sign = svg("text", { x: x * 0.12 + bend[0] * 0.46 + u * 0.42, y: y * 0.12 + bend[1] * 0.46 + v * 0.42, class: "sign" });
        sign.textContent = MARKS[edges.state[edge]];
        picture.append(sign);
      }
    }
    names.forEach((name, node) => {
      const [x, y] = spot(node, radius), [u, v] = spot(node, radius + 14), isDown = data.states[node] === "down";
      picture.append(svg("circle", { cx: x, cy: y, r: 8, class: data.states[node].replace(" ", "-") }));
      const anchor = Math.abs(u - middle[0]) < 12 ? "middle" : u < middle[0] ? "end" : "start";
      const text = svg("text", { x: u, y: v, "text-anchor": anchor, class: isDown ? "down" : "" });
      text.textContent = (isDown ? "✕ " : "") + short(name);
      picture.append(text);
    });
    box.replaceChildren(picture);
  }

  function chooseInGraph(pair) {
    const chosen = pair ? edgeOf(...pair) : undefined;
    for (const [edge, line] of lines) line.classList.toggle("chosen", edge === chosen);
  }

  // --- Begin --------------------------------------------------------------------------------------------

  fillControls();
  setToFirstView();
  if (times.length) byId("scale").textContent = `round trip, ${milliseconds(fastest)} to ${milliseconds(slowest)}`;
  let soon = 0;
  controls.search.addEventListener("input", () => { clearTimeout(soon); soon = setTimeout(look, 60); });
  for (const control of [controls.show, controls.group, controls.order]) control.addEventListener("change", look);
  byId("toolbar").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => { keep(null); letGo(); });
  byId("more").addEventListener("click", listMore);
  new ResizeObserver(() => { if (frame.clientWidth !== draw.width) { draw.width = frame.clientWidth; draw(); } }).observe(frame);
  for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", draw);
  draw.width = frame.clientWidth;
  look();
  drawGraph();
})();
