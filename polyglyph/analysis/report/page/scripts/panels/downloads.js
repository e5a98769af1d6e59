// Tables to download, made out of what the page holds.

function downloadsPanel() {
  const list = make("ul", {});
  const offer = (name, words, build) => list.append(make("li", {}, make("button", { type: "button", class: "chip", "data-table": name, onclick: async () => save(name, await build()) }, name), ` ${words}`));
  panel("tables", "Tables", "CSV, made by this page; numbers have six significant digits, intervals and p of differences four.", list);
  offer("groups.csv", "tokens, sequences and entropy of each group", groupsTable);
  offer("layers.csv", "divergence, information, entropy and load of each layer", layersTable);
  offer("experts.csv", `frequency and lift of each expert on each group, ${number(numLayers * numExperts * names.length)} rows`, expertsTable);
  if (!reasonOf(doc.differences)) offer("differences.csv", "each expert's difference between the two groups chosen above", differencesTable);
  if (!reasonOf(doc.signatures)) offer("signatures.csv", "experts of each set of groups by band", signaturesTable);
  if (!reasonOf(doc.clusters)) offer("clusters.csv", "the cluster of each expert", clustersTable);
  if (hasArray("expert_tokens")) offer("tokens.csv", "tokens that go to each expert more often than others do", tokensTable);
}

const placesOf = () => Array.from({ length: numLayers * numExperts }, (_, place) => [Math.floor(place / numExperts), place % numExperts]);

function groupsTable() {
  return csvOf(["group", "tokens", "sequences", "entropy_bits"], names.map((name) => [name, doc.groups[name].tokens, doc.groups[name].sequences, doc.groups[name].entropy_bits]));
}

function layersTable() {
  const columns = ["layer", "band", "information", "js_mean_bits", "entropy_normalised_divergence", "coverage", "jain", "max_over_mean", "dormant", ...names.map((name) => `entropy_bits_${name}`)];
  return csvOf(columns, doc.layers.map((entry) => [entry.layer, entry.band, entry.information, entry.js_mean, entry.entropy_normalised_divergence, entry.coverage,
    entry.load.jain, entry.load.max_over_mean, entry.load.dormant, ...names.map((name) => entry.entropy_bits[name])]));
}

async function expertsTable() {
  const fields = ["frequency", "low", "high", "lift", "lift_low", "lift_high"].filter(hasArray);
  const arrays = await Promise.all(fields.map(array));
  const rows = names.flatMap((name, group) => {
    const values = arrays.map((one) => ofGroup(one, group));
    return placesOf().map(([layer, expert], place) => [name, layer, expert, ...values.map((one) => one[place])]);
  });
  return csvOf(["group", "layer", "expert", ...fields.map((field) => ({ low: "frequency_low", high: "frequency_high" })[field] ?? field)], rows);
}

async function differencesTable() {
  const pair = Object.values(doc.differences)[chosen.pair];
  const { values, low, high, p, q } = await differenceOf(pair, await array("frequency"), 0);
  return csvOf(["first", "second", "unit", "layer", "expert", "difference", "low", "high", "p", "q"],
    placesOf().map(([layer, expert], place) => [...pair.of, pair.unit, layer, expert, values[place], low[place], high[place], p[place], q[place]]));
}

function signaturesTable() {
  const sets = Object.entries(doc.signatures);
  return csvOf(["groups", ...Object.keys(sets[0][1]), "experts"], sets.map(([set, bands]) => [set, ...Object.values(bands),
    (doc.page.signature_experts[set] ?? []).map((place) => `${Math.floor(place / numExperts)}:${place % numExperts}`).join(" ")]));
}

async function clustersTable() {
  const { values } = await array("cluster");
  return csvOf(["layer", "expert", "cluster"], placesOf().map(([layer, expert], place) => [layer, expert, values[place] === 255 ? "" : doc.clusters[values[place]].name]));
}

async function tokensTable() {
  const { expert_tokens: ids, expert_token_counts: counts, expert_token_shares: shares } = await expertArrays();
  const width = ids.shape.at(-1);
  const rows = [];
  counts.values.forEach((count, index) => {
    if (!count) return;
    const place = Math.floor(index / width);
    const { id, text, bytes } = doc.page.tokens[ids.values[index]];
    rows.push([Math.floor(place / numExperts), place % numExperts, id, text ?? bytes, count, shares.values[index]]);
  });
  return csvOf(["layer", "expert", "token_id", "text_or_bytes", "times_here", "share_of_occurrences"], rows);
}
