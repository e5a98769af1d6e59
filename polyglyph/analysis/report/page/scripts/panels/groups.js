// Groups: what was compared, what stands beside every claim, and what could not be computed.

function groupsPanel() {
  const isTold = names.every((name) => !reasonOf(doc.groups[name].sequences));
  const columns = [{ title: doc.by.join(" / ") }, ...["tokens", ...(isTold ? ["sequences"] : []), "entropy, bits"].map((title) => ({ title, number: true }))];
  const rows = names.map((name) => {
    const { tokens, sequences, entropy_bits: entropy } = doc.groups[name];
    return [longName(name), tokens, ...(isTold ? [sequences] : []), entropy];
  });
  const notes = doc.notes.map((note) => make("p", { class: "note" }, note));
  panel("groups", "Groups", "Tokens that were compared. The entropy is the mean over the layers of how widely a group's tokens spread over the experts.",
    notes, table(columns, rows, { tall: rows.length > 12, caption: "Groups" }), besideClaims());
}

function besideClaims() {
  const found = doc.confounders;
  const parts = [make("h3", {}, "Beside every claim on groups"),
    make("p", { class: "explanation" }, "Two things make groups differ that are not what they are named after: how much the model has seen of them, for which bytes and tokens per parallel item stand, and whether they have tokens in common at all.")];
  if (reasonOf(found)) parts.push(missing(reasonOf(found)));
  else parts.push(resourceLevel(found), overlaps(found));
  return [...parts, make("h3", {}, "Layers that are copies of one another"), copies()];
}

function resourceLevel({ tokens_per_item: tokens, bytes_per_item: bytes, parallel_items: items }) {
  const reason = reasonOf(tokens[names[0]]);
  if (reason) return missing(`resource level: ${reason}`);
  const columns = [{ title: "group" }, { title: "tokens per item", number: true }, { title: "bytes per item", number: true }];
  return table(columns, names.map((name) => [longName(name), tokens[name], bytes[name]]), { tall: names.length > 12, caption: `Resource level, over the ${number(items)} items that all groups have` });
}

function overlaps({ token_overlap: pairs }) {
  const all = Object.entries(pairs);
  const reason = all.every(([, pair]) => reasonOf(pair.jaccard)) && reasonOf(all[0][1].jaccard);
  if (reason) return missing(`vocabulary overlap: ${reason}`);
  const columns = [{ title: "groups" }, { title: "distinct tokens in common (Jaccard)", number: true }, { title: "weighted by use", number: true }];
  return table(columns, all.map(([pair, { jaccard, weighted }]) => [pair.replace(",", " and "), jaccard, weighted]), { tall: true, caption: "Vocabulary overlap (0: none, 1: the same tokens)" });
}

function copies() {
  const found = doc.copies;
  if (reasonOf(found)) return missing(reasonOf(found));
  return make("p", {}, found.clusters.length
    ? `Experts of the same index behave alike in the layers ${found.clusters.map((layers) => layers.join(", ")).join("; ")}: tests on them are not independent.`
    : "None was found: experts of the same index are no more alike across layers than chance makes experts of any index.");
}
