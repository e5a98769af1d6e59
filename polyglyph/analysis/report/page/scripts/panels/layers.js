// Curves over the layers: how far routing tells the groups apart, and how widely it spreads.

function valuesOf(read) {
  return doc.layers.map((layer) => { const value = read(layer); return typeof value === "number" ? value : null; });
}

function curvePanelPart(title, options) {
  const isEmpty = options.series.every(({ values }) => values.every((value) => value === null));
  const reason = isEmpty && reasonOf(options.first);
  return make("div", {}, make("h3", {}, `${title}${options.unit && `, ${options.unit}`}`), isEmpty ? missing(reason || "no layer has a value") : curves({ ...options, label: title }));
}

function layersPanel() {
  const first = doc.layers[0];
  panel("layers", "Layers", "How much the chosen experts tell of the group, layer by layer. The shaded middle is where they tell least.",
    make("div", { class: "columns" },
      curvePanelPart("Jensen-Shannon divergence between groups", { id: "curve-js", unit: "bits", first: first.js_mean, series: [{ name: "mean of all pairs", values: valuesOf((layer) => layer.js_mean) }] }),
      curvePanelPart("Information on the group", { id: "curve-information", unit: "share of the groups' entropy", first: first.information, series: [{ name: "information", values: valuesOf((layer) => layer.information) }] }),
      curvePanelPart("Routing entropy by group", { id: "curve-entropy", unit: `bits, of ${number(Math.log2(numExperts))}`, from: "tight", first: null, series: names.map((name) => ({ name, values: valuesOf((layer) => layer.entropy_bits[name]) })) }),
      curvePanelPart("Entropy-normalised divergence of parallel sequences", { id: "curve-normalised", unit: "of what could differ", first: first.entropy_normalised_divergence, series: [{ name: "mean of the pairs", values: valuesOf((layer) => layer.entropy_normalised_divergence) }] })));
}

function loadPanel() {
  const all = (field) => valuesOf((layer) => layer.load[field]);
  const dormant = doc.layers.reduce((sum, { load }) => sum + (load.dormant ?? 0), 0);
  panel("load", "Load", "How evenly all tokens together load the experts: Jain's index is 1 where all are selected alike and 1/E where one is; max/mean is the busiest expert over the mean.",
    make("p", {}, `Coverage: ${percent(doc.coverage.all)} of the (layer, expert) pairs were ever selected; ${number(dormant)} experts are dormant.`),
    make("div", { class: "columns" },
      curvePanelPart("Jain's index", { id: "curve-jain", unit: "", to: 1, first: first(), series: [{ name: "all groups", values: all("jain") }] }),
      curvePanelPart("Busiest expert", { id: "curve-max", unit: "times the mean", first: first(), series: [{ name: "all groups", values: all("max_over_mean") }] }),
      curvePanelPart("Dormant experts", { id: "curve-dormant", unit: "", first: first(), series: [{ name: "all groups", values: all("dormant") }] }),
      curvePanelPart("Jain's index by group", { id: "curve-jain-groups", unit: "", to: 1, first: first(), series: names.map((name) => ({ name, values: valuesOf((layer) => layer.load.jain_by_group[name]) })) })));

  function first() { return doc.layers[0].load.jain; }
}
