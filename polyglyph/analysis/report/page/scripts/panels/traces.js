// What only traces tell: how far the ways of two groups through the layers differ, and who is selected with whom.

async function tracesPanel() {
  const section = panel("traces", "Pathways and co-activation", "A pathway is the ordered choice of experts through all layers; the distance of two is their edit distance over their length.",
    doc.traces.tokens ? make("p", {}, `Read from ${number(doc.traces.tokens)} tokens${doc.traces.are_all ? "" : ", whole sequences drawn evenly from all"}.`) : null);
  const { pathways, co_activation: together } = doc.traces;
  section.append(make("h3", {}, "Mean distance of pathways"), reasonOf(pathways) ? missing(reasonOf(pathways)) : pathwayMap(pathways));
  section.append(make("h3", {}, "Co-activation within a layer"));
  if (!hasArray("together")) return void section.append(missing(reasonOf(together) ?? "the matrices of so many experts would make this page too large; each expert's page names those it is selected with"));
  const matrices = await array("together");
  const size = numExperts * numExperts;
  let layer = 0;
  const map = heatmap({
    id: "together-map", label: "Co-activation of the experts of a layer", rows: numExperts, columns: numExperts,
    read: () => ({ values: Float32Array.from(matrices.values.subarray(layer * size, (layer + 1) * size), (byte) => byte / 255), scale: amountScale(Math.min(1, limitOf(matrices.values, 0.999) / 255)), legend: { unit: "of the row's tokens also go to the column's expert" } }),
    describe: (one, other) => `layer ${layer}: ${percent(matrices.values[layer * size + one * numExperts + other] / 255)} of the tokens of expert ${one} also go to expert ${other}`,
    pick: (one) => chooseExpert(layer, one),
  });
  const pick = picker("Layer", doc.layers.map((entry) => String(entry.layer)), (index) => { layer = index; map.redraw(); }, { id: "together-layer" });
  section.append(make("div", { class: "controls" }, pick.element), map.element);
}

function pathwayMap({ groups, distance, tokens_of_each: count }) {
  const size = groups.length;
  return heatmap({
    id: "pathway-map", label: `Mean distance of the pathways of up to ${count} tokens of each group`, rows: size, columns: size, columnName: "", rowLabel: (row) => groups[row],
    read: () => ({ values: Float32Array.from(distance.flat(), (value) => value ?? NaN), scale: amountScale(1), legend: { unit: "edit distance over length", hatch: "no two tokens to compare" } }),
    describe: (one, other) => `${groups[one]} and ${groups[other]}: ${distance[one][other] === null ? "no two tokens to compare" : number(distance[one][other])}`,
    pick: () => {},
  }).element;
}
