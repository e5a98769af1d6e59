// Clusters of experts by how their selections spread over the groups.

async function clustersPanel() {
  const section = panel("clusters", "Clusters", "Experts whose selections spread alike over the groups stand together: from left to right all experts, cluster by cluster; the brighter, the larger the group's share.");
  if (reasonOf(doc.clusters)) return void section.append(missing(reasonOf(doc.clusters)));
  const [frequency, cluster] = await Promise.all([array("frequency"), array("cluster")]);
  const order = orderOf(cluster.values);
  const share = sharesOf(frequency, order);
  const width = Math.min(order.length, 1000);
  const binned = binnedOf(share, order.length, width);
  const rowOrder = doc.page.group_order;
  const map = heatmap({
    id: "cluster-map", label: "Share of each group in the experts' selections", rows: names.length, columns: width, columnName: "", smallest: 1,
    rowLabel: (row) => names[rowOrder[row]],
    read: () => ({ values: Float32Array.from({ length: names.length * width }, (_, place) => binned[rowOrder[Math.floor(place / width)]][place % width]), scale: amountScale(Math.min(1, 4 / names.length)), legend: { unit: "share of the group" } }),
    describe: (row, column) => {
      const place = order[Math.floor((column * order.length) / width)];
      return `${doc.clusters[cluster.values[place]].name}: layer ${Math.floor(place / numExperts)}, expert ${place % numExperts}; ${names[rowOrder[row]]} has ${percent(binned[rowOrder[row]][column])} of its selections`;
    },
    pick: (_, column) => { const place = order[Math.floor((column * order.length) / width)]; chooseExpert(Math.floor(place / numExperts), place % numExperts); },
  });
  const rows = doc.clusters.map(({ name, size, bands }) => [name, size, ...Object.values(bands)]);
  section.append(map.element, table([{ title: "cluster" }, { title: "experts", number: true }, ...Object.keys(doc.clusters[0].bands).map((title) => ({ title, number: true }))], rows, { tall: rows.length > 12, caption: "Clusters, named after the groups with more than their part" }));
}

function orderOf(cluster) {
  return Array.from(cluster.keys()).filter((place) => cluster[place] !== 255).sort((one, other) => cluster[one] - cluster[other] || one - other);
}

/** Gives each group's share in each expert's selections, the groups weighted alike, in the given order of experts. */
function sharesOf(frequency, order) {
  const groups = names.map((_, group) => ofGroup(frequency, group));
  const totals = order.map((place) => groups.reduce((sum, values) => sum + values[place], 0));
  return groups.map((values) => Float32Array.from(order, (place, index) => values[place] / totals[index]));
}

function binnedOf(share, length, width) {
  return share.map((values) => Float32Array.from({ length: width }, (_, bin) => {
    const [from, to] = [Math.floor((bin * length) / width), Math.max(Math.floor((bin * length) / width) + 1, Math.floor(((bin + 1) * length) / width))];
    return values.subarray(from, to).reduce((sum, value) => sum + value, 0) / (to - from);
  }));
}
