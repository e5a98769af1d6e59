// Colours that readers with any colour vision tell apart: PuOr for values with a sign, cividis for amounts, and
// Okabe and Ito's for lines, which differ in their dashes too.

const signedLight = ["#2d004b", "#542788", "#8073ac", "#b2abd2", "#d8daeb", "#f7f7f7", "#fee0b6", "#fdb863", "#e08214", "#b35806", "#7f3b08"];
const signedDark = ["#d6c9ff", "#a995f0", "#7b66c4", "#4f4187", "#30294d", "#1e1e25", "#412c10", "#7a4c0e", "#b87312", "#ec9f33", "#ffd08a"];
const amounts = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
const lineLight = ["#0072b2", "#b34700", "#007a5a", "#a3488a", "#56748c", "#8a6d00", "#000000", "#6a3d9a"];
const lineDark = ["#56b4e9", "#ff8f4f", "#2fcf9f", "#e79bd0", "#b3c6d6", "#f0e442", "#ffffff", "#c9a8ff"];
const dashes = ["", "6 3", "2 3", "8 3 2 3", "1 2", "10 4", "4 2 1 2 1 2", "3 1"];

function lineStyle(index) {
  const palette = isDark() ? lineDark : lineLight;
  const round = Math.floor(index / palette.length);
  return { stroke: palette[index % palette.length], "stroke-dasharray": dashes[(index + round) % dashes.length] };
}

const tables = new Map();

/** Gives 256 colours along some stops, as [r, g, b] bytes one after the other. */
function colourTable(stops) {
  const key = stops.join();
  if (!tables.has(key)) {
    const rgb = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
    const bytes = new Uint8Array(256 * 3);
    for (let index = 0; index < 256; index++) {
      const place = (index / 255) * (rgb.length - 1);
      const left = Math.min(rgb.length - 2, Math.floor(place));
      for (let part = 0; part < 3; part++) bytes[3 * index + part] = Math.round(rgb[left][part] + (place - left) * (rgb[left + 1][part] - rgb[left][part]));
    }
    tables.set(key, bytes);
  }
  return tables.get(key);
}

/** A scale around zero, the same distance to both sides. */
function signedScale(limit) {
  return { from: -limit, to: limit, table: () => colourTable(isDark() ? signedDark : signedLight) };
}

function amountScale(limit) {
  return { from: 0, to: limit, table: () => colourTable(amounts) };
}

/** Gives a value's colour as the place of its three bytes in the table. */
function placeOf(value, { from, to }) {
  return 3 * Math.round(255 * Math.min(1, Math.max(0, (value - from) / (to - from || 1))));
}

/** Gives the largest distance from zero, not counting the outermost values that would leave the rest pale. */
function limitOf(values, share = 0.995) {
  const sizes = Float64Array.from(values, Math.abs).filter(Number.isFinite).sort();
  return sizes.length ? sizes[Math.min(sizes.length - 1, Math.floor(share * sizes.length))] || sizes.at(-1) || 1 : 1;
}
