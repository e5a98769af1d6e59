// A map of layers x experts on one canvas: pointer, touch and arrow keys move over it, click or Enter choose.

const axisWidth = 34;
const axisHeight = 18;

/**
 * Makes a map.
 *
 * @param {object} options
 *   rows, columns: its size; columnName: what the columns are, or empty; rowLabel: (row) => text;
 *   read: () => {values, scale, hatched?, legend}, asked whenever it is drawn; values without a number are hatched too;
 *   describe: (row, column) => text of the status line; pick: (row, column) => what a click does;
 *   marked: () => [row, column] or null; id and label: of the canvas; smallest: width of a cell, in pixels.
 */
function heatmap({ rows, columns, read, describe, pick, marked, id, label, columnName = "expert", rowLabel = String, smallest }) {
  const canvas = make("canvas", { id, tabindex: "0", role: "img", "aria-label": `${label}. Arrow keys move, Enter chooses; the line below says what is there.` });
  const status = make("p", { class: "status", role: "status" });
  const legend = make("div", { class: "legend" });
  const frame = make("div", { class: "scroll" }, canvas);
  const element = make("div", {}, frame, status, legend);
  let cursor = null;
  let size = { width: 8, height: 8, left: axisWidth };

  const redraw = () => {
    const { values, scale, hatched, legend: words } = read();
    const labels = Array.from({ length: rows }, (_, row) => rowLabel(row));
    const left = Math.max(axisWidth, 8 + 7 * Math.max(...labels.map((text) => text.length)));
    const room = (frame.clientWidth || 900) - left - 2;
    const width = Math.max(smallest ?? (columns > 200 ? 3 : 5), Math.min(26, Math.floor(room / columns)));
    const height = Math.max(6, Math.min(22, Math.max(width, Math.floor(560 / rows))));
    size = { width, height, left };
    paint(canvas, { rows, columns, size, values, scale, hatched, labels, columnName, cursor: cursor ?? (marked && marked()) });
    legend.replaceChildren(...legendOf(scale, words, hatched || values.some(Number.isNaN)));
  };
  const tell = (place) => {
    cursor = place;
    status.textContent = place ? describe(...place) : "";
    redraw();
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - size.left) / size.width);
    const row = Math.floor((event.clientY - box.top) / size.height);
    return row >= 0 && row < rows && column >= 0 && column < columns ? [row, column] : null;
  };
  canvas.addEventListener("pointermove", (event) => tell(at(event)));
  canvas.addEventListener("pointerleave", () => tell(null));
  canvas.addEventListener("click", (event) => { const place = at(event); if (place) { pick(...place); tell(place); } });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const [row, column] = cursor ?? (marked && marked()) ?? [0, 0];
    if (step) {
      event.preventDefault();
      tell([Math.min(rows - 1, Math.max(0, row + step[0])), Math.min(columns - 1, Math.max(0, column + step[1]))]);
    } else if (event.key === "Enter") pick(row, column);
  });
  canvas.addEventListener("blur", () => tell(null));
  requestAnimationFrame(() => keepDrawn(redraw));
  return { element, redraw, canvas };
}

function paint(canvas, { rows, columns, size, values, scale, hatched, labels, columnName, cursor }) {
  const { width, height, left } = size;
  const ratio = devicePixelRatio || 1;
  const [across, down] = [left + columns * width + 1, rows * height + axisHeight];
  canvas.width = Math.round(across * ratio);
  canvas.height = Math.round(down * ratio);
  canvas.style.width = `${across}px`;
  canvas.style.height = `${down}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.clearRect(0, 0, across, down);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(cells({ rows, columns, values, scale }), left, 0, columns * width, rows * height);
  hatch(pen, { rows, columns, size, is: (place) => Number.isNaN(values[place]) || Boolean(hatched && hatched(place)) });
  writeAxes(pen, { rows, columns, size, labels, columnName });
  if (cursor) outline(pen, cursor, size);
}

/** Paints a pixel per cell; the browser enlarges them. */
function cells({ rows, columns, values, scale }) {
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns, rows];
  const pen = small.getContext("2d");
  const image = pen.createImageData(columns, rows);
  const table = scale.table();
  for (let place = 0; place < rows * columns; place++) {
    const value = values[place];
    if (Number.isNaN(value)) continue;
    image.data.set(table.subarray(placeOf(value, scale), placeOf(value, scale) + 3), 4 * place);
    image.data[4 * place + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
  return small;
}

/** Strikes cells out with a line from corner to corner, so that the mask does not hang on colour. */
function hatch(pen, { rows, columns, size: { width, height, left }, is }) {
  pen.beginPath();
  for (let place = 0; place < rows * columns; place++) {
    if (!is(place)) continue;
    const [x, y] = [left + (place % columns) * width, Math.floor(place / columns) * height];
    pen.moveTo(x, y + height);
    pen.lineTo(x + width, y);
  }
  pen.strokeStyle = inkOf("faint");
  pen.lineWidth = 1;
  pen.stroke();
}

function writeAxes(pen, { rows, columns, size: { width, height, left }, labels, columnName }) {
  pen.fillStyle = inkOf("faint");
  pen.font = `11px ${inkOf("fonts")}`;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  const everyRow = Math.ceil(13 / height);
  for (let row = 0; row < rows; row += everyRow) pen.fillText(labels[row], left - 5, (row + 0.5) * height);
  pen.textAlign = "center";
  if (!columnName) return;
  const everyColumn = [1, 2, 4, 8, 16, 32, 64].find((step) => step * width >= 26) ?? 128;
  for (let column = 0; column < columns; column += everyColumn) pen.fillText(String(column), left + (column + 0.5) * width, rows * height + 10);
}

function outline(pen, [row, column], { width, height, left }) {
  pen.strokeStyle = inkOf("ground");
  pen.lineWidth = 4;
  pen.strokeRect(left + column * width, row * height, width, height);
  pen.strokeStyle = inkOf("text");
  pen.lineWidth = 2;
  pen.strokeRect(left + column * width, row * height, width, height);
}

function legendOf(scale, words, hasHatch) {
  const bar = document.createElement("canvas");
  [bar.width, bar.height] = [128, 12];
  const pen = bar.getContext("2d");
  const image = pen.createImageData(128, 12);
  const table = scale.table();
  for (let place = 0; place < 128 * 12; place++) {
    const colour = 3 * Math.round((255 * (place % 128)) / 127);
    image.data.set([...table.subarray(colour, colour + 3), 255], 4 * place);
  }
  pen.putImageData(image, 0, 0);
  bar.setAttribute("aria-hidden", "true");
  const parts = [make("span", {}, signedOrNot(scale.from, scale), bar, signedOrNot(scale.to, scale), ` ${words.unit}`)];
  if (hasHatch && words.hatch) parts.push(make("span", {}, hatchSwatch(), words.hatch));
  return parts;
}

function signedOrNot(value, { from }) {
  return from < 0 ? signed(value) : number(value);
}

function hatchSwatch() {
  const swatch = draw("svg", { width: 16, height: 12, "aria-hidden": "true" });
  swatch.append(draw("rect", { x: 0.5, y: 0.5, width: 15, height: 11, fill: "none", stroke: "currentColor" }), draw("line", { x1: 0, y1: 12, x2: 16, y2: 0, stroke: "currentColor" }));
  return swatch;
}
