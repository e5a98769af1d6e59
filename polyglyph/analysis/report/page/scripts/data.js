// What the page shows: the document, and arrays that are unpacked when they are first asked for.
// Letters of shapes: G groups, L MoE layers, E experts.

const doc = JSON.parse(document.getElementById("document").textContent);
const names = Object.keys(doc.groups);
const { layers: numLayers, experts: numExperts, top_k: topK } = doc.model;
const unpacked = new Map();

const kinds = { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };

/** Says whether a value of the document is the reason why there is none. */
function reasonOf(value) {
  return value !== null && typeof value === "object" && "cannot_be_computed" in value ? value.cannot_be_computed : null;
}

function hasArray(name) {
  return document.getElementById(`array-${name}`) !== null;
}

/** Gives an array by name: {shape, values}; `await` it. */
function array(name) {
  if (!unpacked.has(name)) unpacked.set(name, unpack(document.getElementById(`array-${name}`).textContent));
  return unpacked.get(name);
}

async function unpack(text) {
  const [kind, shape, data] = text.trim().split(";");
  const packed = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  return { shape: shape.split(",").map(Number), values: new kinds[kind](buffer) };
}

/** Gives the layers x experts of one group, a view. */
function ofGroup({ shape, values }, group) {
  const size = shape[1] * shape[2];
  return values.subarray(group * size, (group + 1) * size);
}

const scriptNames = new Intl.DisplayNames(["en"], { type: "script", fallback: "none" });

/** Gives a group's name for reading: a script's code with its English name. */
function longName(name) {
  if (!/^[A-Z][a-z]{3}$/.test(name)) return name;
  const words = scriptNames.of(name);
  return words ? `${name}, ${words}` : name;
}

const bandOfLayer = new Map();
if (!reasonOf(doc.bands)) {
  for (const [band, layers] of Object.entries(doc.bands)) for (const layer of layers) bandOfLayer.set(layer, band);
}

// What is chosen, and who wants to know.
const chosen = { group: 0, pair: 0, layer: 0, expert: 0, set: null };
const listeners = [];

function whenChosen(listener) {
  listeners.push(listener);
}

function choose(changes) {
  Object.assign(chosen, changes);
  for (const listener of listeners) listener(changes);
}

function chooseExpert(layer, expert, { scroll = false } = {}) {
  choose({ layer, expert });
  if (scroll) document.getElementById("expert").scrollIntoView({ behavior: "smooth" });
}
