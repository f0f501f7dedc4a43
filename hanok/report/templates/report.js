"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const tip = document.getElementById("tip");
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const unitColours = ["--load", "--store", "--matrix", "--vector"];
  const operatorTypes = [...new Set(data.layers.map((layer) => layer.type))];
  let colouring = "layer";

  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  function layerColour(index) {
    if (index < 0) return colour("--soft");
    const key = colouring === "layer" ? index : operatorTypes.indexOf(data.layers[index].type);
    const hue = (165 + key * 137.508) % 360;
    return `hsl(${hue.toFixed(1)} ${isDark() ? "48% 60%" : "46% 52%"})`;
  }

  const count = (value) => Math.round(value).toLocaleString("en-US");
  function duration(cycles) {
    const ns = (cycles * 1e3) / data.clockMhz;
    for (const [limit, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]]) {
      if (ns >= limit) return `${Number((ns / limit).toPrecision(4))} ${unit}`;
    }
    return `${Number(ns.toPrecision(4))} ns`;
  }

  function showTip(text, event) {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(6, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${event.clientY + box.height + 26 > innerHeight ? event.clientY - box.height - 12 : event.clientY + 16}px`;
  }
  document.addEventListener("mousemove", (event) => {
    const target = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
    if (target) showTip(target.dataset.tip, event);
    else if (!["timeline", "sram"].includes(event.target.id)) tip.hidden = true;
  });

  const lanes = data.units.map((unit) => {
    let position = 0;
    const start = unit.gap.map((gap, index) => {
      const begin = position + gap;
      position = begin + unit.length[index];
      return begin;
    });
    return { ...unit, start, end: start.map((begin, index) => begin + unit.length[index]) };
  });
  let position = 0;
  const shares = data.layers.map((layer) => {
    const begin = position;
    position += layer.cycles;
    return { start: begin, end: position };
  });
  const bandwidthPeak = Math.max(1, ...data.bandwidth.read, ...data.bandwidth.write);

  function prepare(canvas) {
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = "11.5px system-ui, sans-serif";
    return { context, width, height };
  }
  function firstAfter(sorted, value) {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] > value) high = middle; else low = middle + 1;
    }
    return low;
  }

  const canvas = document.getElementById("timeline");
  const overview = document.getElementById("overview");
  const total = Math.max(1, data.cycles);
  const view = { from: 0, to: total };
  const GUTTER = 108, AXIS = 26, STRIP = 26, LANE = 34, GAP = 8;
  const laneTop = (index) => AXIS + STRIP + GAP + index * (LANE + GAP);
  const chartTop = laneTop(lanes.length);
  const CHART = 318 - chartTop - 10;

  function clampView() {
    const span = Math.min(total, Math.max(20, view.to - view.from));
    view.from = Math.max(0, Math.min(view.from, total - span));
    view.to = view.from + span;
  }
  const scale = (width) => (width - GUTTER - 10) / (view.to - view.from);

  function drawAxis(context, width, height) {
    const span = view.to - view.from;
    const nanoseconds = (span * 1e3) / data.clockMhz;
    const raw = nanoseconds / Math.max(3, width / 130);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw);
    const stepCycles = (step * data.clockMhz) / 1e3;
    context.textAlign = "center";
    for (let tick = Math.ceil(view.from / stepCycles); tick * stepCycles <= view.to; tick += 1) {
      const x = GUTTER + (tick * stepCycles - view.from) * scale(width);
      context.fillStyle = colour("--grid");
      context.fillRect(x, AXIS - 4, 1, height - AXIS - 2);
      context.fillStyle = colour("--soft");
      context.fillText(duration(tick * stepCycles), x, 15);
    }
  }

  function drawStrip(context, width) {
    shares.forEach((share, index) => {
      if (share.end <= view.from || share.start >= view.to) return;
      const left = GUTTER + (Math.max(share.start, view.from) - view.from) * scale(width);
      const right = GUTTER + (Math.min(share.end, view.to) - view.from) * scale(width);
      context.fillStyle = layerColour(index);
      context.fillRect(left, AXIS, Math.max(0.5, right - left - 0.5), STRIP);
      if (right - left > 34) {
        context.save();
        context.beginPath();
        context.rect(left, AXIS, right - left - 4, STRIP);
        context.clip();
        context.fillStyle = isDark() ? "#101215" : "#fff";
        context.textAlign = "left";
        const name = data.layers[index].name;
        const room = Math.floor((right - left - 12) / 6.2);
        context.fillText(name.length > room ? `…${name.slice(-Math.max(1, room - 1))}` : name, left + 6, AXIS + 17);
        context.restore();
      }
    });
  }

  function drawLane(context, width, lane, top) {
    context.fillStyle = colour("--grid");
    context.fillRect(GUTTER, top, width - GUTTER - 10, LANE);
    const factor = scale(width);
    let lastRight = -1;
    for (let index = firstAfter(lane.end, view.from); index < lane.start.length && lane.start[index] < view.to; index += 1) {
      const left = GUTTER + (Math.max(lane.start[index], view.from) - view.from) * factor;
      const right = GUTTER + (Math.min(lane.end[index], view.to) - view.from) * factor;
      if (right <= lastRight) continue;
      context.globalAlpha = lane.busy ? 0.25 + 0.75 * (lane.busy[index] / Math.max(1, lane.length[index])) : 1;
      context.fillStyle = layerColour(lane.layer[index]);
      const room = right - left;
      context.fillRect(left, top, Math.max(0.6, room > 3 ? room - 0.7 : room), LANE);
      if (room > 46) {
        context.globalAlpha = 1;
        context.fillStyle = isDark() ? "#101215" : "#fff";
        context.textAlign = "left";
        context.fillText(data.opcodes[lane.opcode[index]], left + 5, top + 21, room - 9);
      }
      lastRight = left + Math.max(0.6, room * 0.999);
    }
    context.globalAlpha = 1;
  }

  function drawBandwidth(context, width) {
    const factor = scale(width);
    const slice = data.bandwidth.slice;
    const first = Math.max(0, Math.floor(view.from / slice));
    const last = Math.min(data.bandwidth.read.length, Math.ceil(view.to / slice));
    for (const [series, name, shade] of [["read", "--load", 0.75], ["write", "--store", 0.9]]) {
      context.beginPath();
      context.moveTo(GUTTER, chartTop + CHART);
      for (let index = first; index < last; index += 1) {
        const left = Math.max(GUTTER, GUTTER + (index * slice - view.from) * factor);
        const right = Math.min(width - 10, GUTTER + ((index + 1) * slice - view.from) * factor);
        const y = chartTop + CHART * (1 - data.bandwidth[series][index] / bandwidthPeak);
        context.lineTo(left, y);
        context.lineTo(right, y);
      }
      context.lineTo(width - 10, chartTop + CHART);
      context.globalAlpha = shade * 0.55;
      context.fillStyle = colour(name);
      context.fill();
      context.globalAlpha = 1;
    }
    const peak = (bandwidthPeak / slice) * data.clockMhz * 1e6;
    context.fillStyle = colour("--soft");
    context.textAlign = "left";
    context.fillText(`≤ ${Number((peak / 1e9).toPrecision(3))} GB/s`, 14, chartTop + 46);
  }

  function drawLabels(context) {
    context.textAlign = "left";
    context.fillStyle = colour("--ink");
    context.fillText("layers", 14, AXIS + 17);
    lanes.forEach((lane, index) => {
      const busy = (lane.busy || lane.length).reduce((sum, value) => sum + value, 0);
      context.fillStyle = colour("--ink");
      context.fillText(lane.name, 14, laneTop(index) + 15);
      context.fillStyle = colour("--soft");
      context.fillText(`${((100 * busy) / total).toFixed(0)} % active`, 14, laneTop(index) + 29);
    });
    context.fillStyle = colour("--ink");
    context.fillText("DRAM", 14, chartTop + 15);
    for (const [index, word] of ["read", "write"].entries()) {
      context.fillStyle = colour(index ? "--store" : "--load");
      context.fillRect(14 + index * 42, chartTop + 22, 8, 8);
      context.fillStyle = colour("--soft");
      context.fillText(word, 26 + index * 42, chartTop + 30);
    }
  }

  function drawOverview() {
    const { context, width, height } = prepare(overview);
    const factor = (width - GUTTER - 10) / total;
    shares.forEach((share, index) => {
      context.fillStyle = layerColour(index);
      context.fillRect(GUTTER + share.start * factor, 8, Math.max(0.4, (share.end - share.start) * factor), height - 16);
    });
    context.strokeStyle = colour("--ink");
    context.lineWidth = 2;
    context.strokeRect(GUTTER + view.from * factor, 4, Math.max(4, (view.to - view.from) * factor), height - 8);
    context.fillStyle = colour("--soft");
    context.textAlign = "left";
    context.fillText("whole run", 14, 19);
  }

  let scheduled = false;
  function redraw() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      clampView();
      const { context, width, height } = prepare(canvas);
      drawAxis(context, width, height);
      drawStrip(context, width);
      lanes.forEach((lane, index) => drawLane(context, width, lane, laneTop(index)));
      drawBandwidth(context, width);
      drawLabels(context);
      drawOverview();
    });
  }

  const cycleAt = (event) => {
    const box = canvas.getBoundingClientRect();
    return view.from + (event.clientX - box.left - GUTTER) / scale(box.width);
  };
  function zoom(factor, centre) {
    const middle = centre === undefined ? (view.from + view.to) / 2 : centre;
    view.from = middle - (middle - view.from) * factor;
    view.to = middle + (view.to - middle) * factor;
    if (view.to - view.from > total) { view.from = 0; view.to = total; }
    redraw();
  }
  function showLayer(index) {
    const layer = data.layers[index];
    const margin = Math.max(10, (layer.end - layer.start) * 0.04);
    view.from = layer.start - margin;
    view.to = layer.end + margin;
    document.querySelectorAll("#layers tr.chosen").forEach((row) => row.classList.remove("chosen"));
    const row = document.querySelector(`#layers tr[data-layer="${index}"]`);
    if (row) row.classList.add("chosen");
    redraw();
  }
  function sliceAt(event) {
    const box = canvas.getBoundingClientRect();
    const y = event.clientY - box.top;
    const cycle = cycleAt(event);
    if (y >= AXIS && y < AXIS + STRIP) {
      const index = shares.findIndex((share) => cycle >= share.start && cycle < share.end);
      return index < 0 ? null : { layer: index };
    }
    const number = lanes.findIndex((_, index) => y >= laneTop(index) && y < laneTop(index) + LANE);
    if (number < 0) return null;
    const index = firstAfter(lanes[number].end, cycle);
    if (index >= lanes[number].start.length || lanes[number].start[index] > cycle) return null;
    return { lane: lanes[number], index, layer: lanes[number].layer[index] };
  }
  function describe(found) {
    const layer = data.layers[found.layer];
    const lines = layer ? [`${layer.name} (${layer.type})`] : [];
    if (found.lane) {
      const merged = found.lane.count ? found.lane.count[found.index] : 1;
      const first = found.lane.instruction[found.index];
      lines.push(merged > 1 ? `${count(merged)} instructions from #${first}` : `#${first} ${data.opcodes[found.lane.opcode[found.index]]}`);
      lines.push(`from cycle ${count(found.lane.start[found.index])}, ${count(found.lane.length[found.index])} cycles (${duration(found.lane.length[found.index])})`);
    } else {
      lines.push(`share of the run: ${count(layer.cycles)} cycles (${duration(layer.cycles)}), bound by ${layer.bound}`);
      if (layer.mapping) lines.push(layer.mapping);
    }
    if (layer && layer.nodes) lines.push(`ONNX: ${layer.nodes}`);
    return lines.join("\n");
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, from: view.from, to: view.to };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag) {
      const moved = (event.clientX - drag.x) / scale(canvas.clientWidth);
      view.from = drag.from - moved;
      view.to = drag.to - moved;
      redraw();
      return;
    }
    const found = sliceAt(event);
    if (found) showTip(describe(found), event); else tip.hidden = true;
  });
  canvas.addEventListener("pointerup", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("dblclick", (event) => {
    const found = sliceAt(event);
    if (found && found.layer >= 0) showLayer(found.layer);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, cycleAt(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const span = view.to - view.from;
    const moves = { a: -0.2, d: 0.2, ArrowLeft: -0.2, ArrowRight: 0.2 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) { view.from += moves[event.key] * span; view.to += moves[event.key] * span; redraw(); }
    else if (event.key === "w" || event.key === "+") zoom(0.7);
    else if (event.key === "s" || event.key === "-") zoom(1.4);
    else if (event.key === "0") zoom(Infinity);
    else return;
    event.preventDefault();
  });
  overview.addEventListener("pointerdown", (event) => {
    const box = overview.getBoundingClientRect();
    const cycle = ((event.clientX - box.left - GUTTER) / (box.width - GUTTER - 10)) * total;
    const half = (view.to - view.from) / 2;
    view.from = cycle - half;
    view.to = cycle + half;
    redraw();
  });
  const wholeRun = () => { view.from = 0; view.to = total; redraw(); };
  document.getElementById("zoom-in").addEventListener("click", () => zoom(0.6));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(1.6));
  document.getElementById("zoom-all").addEventListener("click", wholeRun);

  function drawSram() {
    const element = document.getElementById("sram");
    if (!element || !data.sram) return;
    const { context, width, height } = prepare(element);
    const palette = unitColours.map(colour);
    context.fillStyle = colour("--grid");
    context.fillRect(0, 0, width, height);
    const rows = data.sram.owner, rowHeight = height / rows.length;
    rows.forEach((row, bank) => {
      const step = width / row.length;
      for (let from = 0; from < row.length;) {
        let to = from + 1;
        while (to < row.length && row[to] === row[from]) to += 1;
        if (row[from] !== "0") {
          context.fillStyle = palette[Number(row[from]) - 1];
          context.fillRect(from * step, bank * rowHeight, (to - from) * step, Math.max(0.7, rowHeight - (rowHeight > 3 ? 0.6 : 0)));
        }
        from = to;
      }
    });
  }
  const sramCanvas = document.getElementById("sram");
  if (sramCanvas && data.sram) {
    sramCanvas.addEventListener("mousemove", (event) => {
      const box = sramCanvas.getBoundingClientRect();
      const bank = Math.min(data.sram.banks - 1, Math.floor(((event.clientY - box.top) / box.height) * data.sram.banks));
      const slices = data.sram.owner[bank].length;
      const slice = Math.max(0, Math.min(slices - 1, Math.floor(((event.clientX - box.left) / box.width) * slices)));
      const owner = Number(data.sram.owner[bank][slice]);
      showTip(`bank ${bank} (0x${(bank * data.sram.bankBytes).toString(16)}), cycle ${count(slice * data.sram.slice)}: ${owner ? data.units[owner - 1].name : "at rest"}`, event);
    });
    sramCanvas.addEventListener("mouseleave", () => { tip.hidden = true; });
  }

  const table = document.getElementById("layers");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const cellValue = (row, column, numeric) => {
    const cell = row.cells[column];
    return numeric ? Number(cell.dataset.value) : cell.textContent.toLowerCase();
  };
  [...table.tHead.rows[0].cells].forEach((header, column, headers) => {
    const numeric = header.dataset.kind === "number";
    const sort = () => {
      const descending = header.getAttribute("aria-sort") ? header.getAttribute("aria-sort") === "ascending" : numeric && column > 0;
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      rows.sort((one, two) => {
        const a = cellValue(one, column, numeric), b = cellValue(two, column, numeric);
        const order = a < b ? -1 : a > b ? 1 : 0;
        return descending ? -order : order;
      });
      body.append(...rows);
    };
    header.tabIndex = 0;
    header.addEventListener("click", sort);
    header.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  });
  document.getElementById("filter").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    rows.forEach((row) => { row.hidden = !`${row.cells[1].textContent} ${row.cells[2].textContent} ${row.cells[9].textContent}`.toLowerCase().includes(wanted); });
  });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) { showLayer(Number(row.dataset.layer)); canvas.scrollIntoView({ behavior: "smooth", block: "center" }); }
  });
  document.querySelectorAll(".dot").forEach((dot) => dot.addEventListener("click", () => {
    showLayer(Number(dot.dataset.layer));
    const row = document.querySelector(`#layers tr[data-layer="${dot.dataset.layer}"]`);
    if (row) row.scrollIntoView({ behavior: "smooth", block: "center" });
  }));

  function paintAll() {
    document.querySelectorAll("i.swatch").forEach((swatch) => { swatch.style.background = layerColour(Number(swatch.dataset.layer)); });
    document.querySelectorAll(".dot").forEach((dot) => { dot.style.fill = layerColour(Number(dot.dataset.layer)); });
    redraw();
    drawSram();
  }
  document.getElementById("colouring").addEventListener("change", (event) => { colouring = event.target.value; paintAll(); });
  document.getElementById("theme").addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; paintAll(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintAll);
  addEventListener("resize", paintAll);
  paintAll();
})();
