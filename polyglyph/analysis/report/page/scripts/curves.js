// Curves over the layers, with the bands behind them; pointer and arrow keys move from layer to layer.

/**
 * Makes a chart of curves.
 *
 * @param {object} options
 *   series: [{name, values}], values a number or null per layer; label: what it shows; unit: of the values;
 *   from, to: bounds of the values, where they have natural ones.
 */
function curves({ series, label, unit, from, to, id }) {
  const chart = draw("svg", { class: "chart", id, role: "img", tabindex: "0", "aria-label": `${label}. Left and right arrows move from layer to layer; the line below says the values.` });
  const status = make("p", { class: "status", role: "status" });
  const legend = make("div", { class: "legend" });
  const element = make("div", {}, chart, legend, status);
  let layer = null;
  const redraw = () => {
    plot(chart, { series, layer, bounds: boundsOf(series, { from, to }), width: Math.max(280, element.clientWidth || 560) });
    legend.replaceChildren(...(series.length > 1 ? series.map(({ name }, index) => make("span", {}, lineSwatch(index), name)) : []));
  };
  const tell = (place) => {
    layer = place;
    const words = series.map(({ name, values }) => `${name} ${values[place] === null ? "none" : number(values[place])}`);
    const band = bandOfLayer.has(place) ? `, ${bandOfLayer.get(place)}` : "";
    status.textContent = place === null ? "" : `layer ${place}${band}: ${words.join(", ")} ${unit}`;
    redraw();
  };
  chart.addEventListener("pointermove", (event) => tell(layerAt(chart, event)));
  chart.addEventListener("pointerleave", () => tell(null));
  chart.addEventListener("blur", () => tell(null));
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    tell(Math.min(numLayers - 1, Math.max(0, layer === null ? 0 : layer + step)));
  });
  requestAnimationFrame(() => keepDrawn(redraw));
  return element;
}

const chartHeight = 210;
const margins = { left: 46, right: 12, top: 10, bottom: 34 };

/** Gives round bounds and the ticks between them; `from` is a number, or "tight" to begin near the lowest value. */
function boundsOf(series, { from, to }) {
  const values = series.flatMap(({ values }) => values.filter((value) => value !== null));
  const low = from === "tight" ? Math.min(...values, to ?? Infinity) : from ?? 0;
  const high = Math.max(to ?? Math.max(...values, low), low);
  const rough = (high - low || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = to === undefined ? Math.max(first + 1, Math.ceil(high / step - 1e-9)) : high / step;
  const ticks = Array.from({ length: Math.floor(last + 1e-9) - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(6)));
  return { from: first * step, to: last * step, ticks };
}

function layerAt(chart, event) {
  const box = chart.getBoundingClientRect();
  const inside = box.width - margins.left - margins.right;
  const place = Math.round(((event.clientX - box.left - margins.left) / inside) * Math.max(1, numLayers - 1));
  return place >= 0 && place < numLayers ? place : null;
}

function plot(chart, { series, layer, bounds, width }) {
  const x = (place) => margins.left + (numLayers > 1 ? place / (numLayers - 1) : 0.5) * (width - margins.left - margins.right);
  const y = (value) => chartHeight - margins.bottom - ((value - bounds.from) / (bounds.to - bounds.from)) * (chartHeight - margins.top - margins.bottom);
  chart.setAttribute("viewBox", `0 0 ${width} ${chartHeight}`);
  const parts = [...bandParts(x), ...axisParts({ bounds, x, y, width })];
  if (layer !== null) parts.push(draw("line", { class: "cursor", x1: x(layer), x2: x(layer), y1: margins.top, y2: chartHeight - margins.bottom }));
  series.forEach(({ values }, index) => parts.push(...curveParts(values, { x, y, index })));
  chart.replaceChildren(...parts);
}

function bandParts(x) {
  if (reasonOf(doc.bands)) return [];
  const half = numLayers > 1 ? (x(1) - x(0)) / 2 : 0;
  return Object.entries(doc.bands).filter(([, layers]) => layers.length).flatMap(([band, layers]) => {
    const [left, right] = [Math.max(x(0), x(layers[0]) - half), Math.min(x(numLayers - 1), x(layers.at(-1)) + half)];
    const text = draw("text", { x: (left + right) / 2, y: chartHeight - 4, "text-anchor": "middle" }, band);
    if (band !== "middle") return [text];
    return [draw("rect", { class: "band", x: left, y: margins.top, width: right - left, height: chartHeight - margins.top - margins.bottom }), text];
  });
}

function axisParts({ bounds, x, y, width }) {
  const parts = [draw("path", { class: "axis", d: `M${margins.left} ${margins.top}V${chartHeight - margins.bottom}H${width - margins.right}` })];
  for (const tick of bounds.ticks) parts.push(draw("text", { x: margins.left - 6, y: y(tick) + 4, "text-anchor": "end" }, tick.toLocaleString("en", { maximumSignificantDigits: 4 })));
  const every = Math.max(1, Math.ceil(numLayers / Math.floor((width - 60) / 34)));
  for (let layer = 0; layer < numLayers; layer += every) parts.push(draw("text", { x: x(layer), y: chartHeight - margins.bottom + 15, "text-anchor": "middle" }, String(layer)));
  return parts;
}

/** Draws a curve with gaps where there is no value; a value between two gaps is a dot. */
function curveParts(values, { x, y, index }) {
  const runs = [];
  values.forEach((value, layer) => {
    if (value === null) return;
    if (layer && values[layer - 1] !== null) runs.at(-1).push([x(layer), y(value)]);
    else runs.push([[x(layer), y(value)]]);
  });
  const style = lineStyle(index);
  return runs.map((run) => (run.length > 1
    ? draw("polyline", { class: "series", points: run.map((point) => point.map((part) => part.toFixed(1)).join()).join(" "), ...style })
    : draw("circle", { cx: run[0][0], cy: run[0][1], r: 3, fill: style.stroke })));
}

function lineSwatch(index) {
  const swatch = draw("svg", { width: 28, height: 8, "aria-hidden": "true" });
  swatch.append(draw("line", { x1: 0, x2: 28, y1: 4, y2: 4, "stroke-width": 2, ...lineStyle(index) }));
  return swatch;
}
