// Elements and numbers as text.

/** Makes an element: attributes, then children, which are elements or text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

// The namespace is asked for, so that no address stands in this file.
const drawing = document.getElementById("namespace").namespaceURI;

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(drawing, tag);
  fill(element, attributes, children);
  return element;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
}

function missing(reason) {
  return make("p", { class: "missing" }, `Cannot be computed: ${reason}.`);
}

/** Makes a panel with its entry in the contents. */
function panel(id, title, explanation, ...children) {
  const words = explanation ? make("p", { class: "explanation" }, explanation) : null;
  const section = make("section", { id, "aria-labelledby": `${id}-title` });
  section.append(make("h2", { id: `${id}-title` }, title), ...[words].filter(Boolean), ...children.flat().filter(Boolean));
  document.getElementById("panels").append(section);
  document.getElementById("contents").append(make("li", {}, make("a", { href: `#${id}` }, title)));
  return section;
}

function picker(label, options, onchange, { id } = {}) {
  const select = make("select", { id, onchange: () => onchange(select.selectedIndex) });
  select.append(...options.map((option) => make("option", {}, option)));
  return { element: make("label", {}, label, select), select };
}

/** Makes a table: columns are {title, number}, rows are lists of text, elements or numbers; the first is the row's head. */
function table(columns, rows, { tall = false, caption } = {}) {
  const cell = (content, index) => make(index ? "td" : "th", { class: columns[index].number && "number", scope: index ? null : "row" }, show(content));
  const head = columns.map((column) => make("th", { scope: "col", class: column.number && "number" }, column.title));
  const element = make("table", {});
  if (caption) element.append(make("caption", { class: "faint" }, caption));
  element.append(make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows.map((row) => make("tr", {}, row.map(cell)))));
  const scroll = { class: tall ? "scroll tall" : "scroll", tabindex: "0", role: "region", "aria-label": caption || columns[0].title };
  return make("div", scroll, element);
}

function show(content) {
  if (content === null || content === undefined) return "";
  if (typeof content === "number") return number(content);
  if (content instanceof Node || typeof content === "string") return content;
  const reason = reasonOf(content);
  return reason ? make("span", { class: "missing", title: reason }, `none: ${reason}`) : String(content);
}

/** Writes a number with three significant digits; whole ones in full. */
function number(value) {
  if (!Number.isFinite(value)) return "none";
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en").replace("-", "\u2212");
  if (value !== 0 && Math.abs(value) < 0.0005) return value.toExponential(1).replace("-", "\u2212").replace("e-", "e\u2212");
  return value.toPrecision(3).replace("-", "\u2212");
}

function signed(value) {
  return Number.isFinite(value) ? (value > 0 ? "+" : "") + number(value) : "none";
}

/** Writes p or q; what is too small for a number is not zero. */
function chance(value) {
  return value === 0 ? "< 1e\u2212300" : show(value);
}

function percent(value) {
  return Number.isFinite(value) ? `${(100 * value).toFixed(value < 0.0995 ? 2 : 1)}\u00a0%` : "none";
}

/** Draws a value and its interval on a common scale; the numbers stand beside it. */
function rangeBar(value, low, high, { from, to }) {
  const place = (mark) => 6 + 180 * Math.min(1, Math.max(0, (mark - from) / (to - from)));
  const element = draw("svg", { class: "range", viewBox: "0 0 192 16", "aria-hidden": "true" });
  element.append(draw("line", { class: "track", x1: 2, x2: 190, y1: 8, y2: 8 }));
  if (from < 0 && to > 0) element.append(draw("line", { class: "zero", x1: place(0), x2: place(0), y1: 1, y2: 15 }));
  if (Number.isFinite(low)) element.append(draw("line", { class: "interval", x1: place(low), x2: place(high), y1: 8, y2: 8 }));
  if (Number.isFinite(value)) element.append(draw("circle", { class: "value", cx: place(value), cy: 8, r: 4 }));
  return element;
}

function expertButton(layer, expert, text = `${layer}:${expert}`) {
  const label = `Show layer ${layer}, expert ${expert}`;
  return make("button", { class: "chip", type: "button", "aria-label": label, onclick: () => chooseExpert(layer, expert, { scroll: true }) }, text);
}
