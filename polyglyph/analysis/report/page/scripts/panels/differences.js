// The map of differences between two groups, with what is not significant struck out.

async function differencesPanel() {
  const section = panel("differences", "Difference of two groups", "How much more often (in points of frequency) an expert is selected on tokens of the first group than of the second. What is not significant after Benjamini and Hochberg's correction is struck out.");
  const pairs = reasonOf(doc.differences) ? [] : Object.values(doc.differences);
  if (!pairs.length) return void section.append(missing(reasonOf(doc.differences)));
  const frequency = await array("frequency");
  const pick = picker("Pair", pairs.map(({ of }) => `${of[0]} minus ${of[1]}`), (pair) => choose({ pair }), { id: "pair" });
  const words = make("div", {});
  const top = make("div", {});
  const floor = picker("Strike out too what is below", ["nothing", "1 point", "2 points", "5 points", "10 points"], () => update(), { id: "floor" });
  let shown = null;
  const map = heatmap({
    id: "difference-map", label: "Difference of frequencies by layer and expert", rows: numLayers, columns: numExperts,
    read: () => shown ?? { values: new Float32Array(numLayers * numExperts), scale: signedScale(1), legend: { unit: "" } },
    describe: (layer, expert) => describeDifference(shown, layer, expert),
    pick: (layer, expert) => chooseExpert(layer, expert),
    marked: () => [chosen.layer, chosen.expert],
  });
  const update = async () => {
    const pair = pairs[chosen.pair];
    const smallest = [0, 0.01, 0.02, 0.05, 0.1][floor.select.selectedIndex];
    shown = await differenceOf(pair, frequency, smallest);
    words.replaceChildren(...wordsOf(pair));
    top.replaceChildren(topTable(pair));
    map.redraw();
  };
  section.append(make("div", { class: "controls" }, pick.element, floor.element), words, map.element, top);
  whenChosen((changes) => {
    pick.select.selectedIndex = chosen.pair;
    if ("pair" in changes) update();
    else if ("expert" in changes) map.redraw();
  });
  await update();
}

/** Gives all that is known of a pair's differences, cell by cell. */
async function differenceOf({ of }, frequency, smallest) {
  const index = pairIndex(of);
  const [one, other] = of.map((name) => ofGroup(frequency, names.indexOf(name)));
  const values = Float32Array.from(one, (value, place) => value - other[place]);
  const [low, high, p, q] = await Promise.all(["low", "high", "p", "q"].map((name) => array(`pair-${index}-${name}`)));
  const isStruck = (place) => !(q.values[place] <= doc.alpha) || Math.abs(values[place]) < smallest;
  return {
    of, values, low: low.values, high: high.values, p: p.values, q: q.values, hatched: isStruck,
    scale: signedScale(limitOf(values)),
    legend: { unit: "of the tokens", hatch: smallest ? `not significant (q > ${doc.alpha}), or smaller` : `not significant (q > ${doc.alpha})` },
  };
}

function pairIndex(of) {
  return Object.values(doc.differences).findIndex((pair) => pair.of[0] === of[0] && pair.of[1] === of[1]);
}

function describeDifference(shown, layer, expert) {
  const place = layer * numExperts + expert;
  if (!shown || Number.isNaN(shown.values[place])) return `layer ${layer}, expert ${expert}: no difference`;
  const interval = Number.isFinite(shown.low[place]) ? ` (${signed(shown.low[place])} to ${signed(shown.high[place])})` : "";
  return `layer ${layer}, expert ${expert}: ${signed(shown.values[place])}${interval}, q ${chance(shown.q[place])}`;
}

function wordsOf({ of, unit, num_units: count, significant, warning }) {
  const words = `${number(significant.all)} of ${number(numLayers * numExperts)} experts differ significantly between ${of[0]} and ${of[1]}. What counts as independent: ${unit}s, ${number(count)} of them.`;
  return [make("p", {}, words), warning ? make("p", { class: "note" }, `${warning}.`) : null].filter(Boolean);
}

function topTable({ top }) {
  if (!top.length) return make("p", { class: "missing" }, "No expert differs significantly.");
  const rows = top.map((row) => [expertButton(row.layer, row.expert), signed(row.difference),
    reasonOf(row.interval_95) ? "none" : `${signed(row.interval_95[0])} to ${signed(row.interval_95[1])}`, chance(row.p), chance(row.q)]);
  return table([{ title: "layer:expert" }, ...["difference", "95 % interval", "p", "q"].map((title) => ({ title, number: true }))], rows, { tall: true, caption: "Largest significant differences" });
}
