// One expert: frequencies and lift by group with intervals, its tokens, and who is selected with it.

async function expertPanel() {
  const section = panel("expert", "One expert", "Pick a layer and an expert, here or on a map.");
  const input = (label, most, id) => {
    const field = make("input", { id, type: "number", min: "0", max: String(most), value: "0", inputmode: "numeric" });
    return { field, element: make("label", {}, label, field) };
  };
  const layer = input("Layer", numLayers - 1, "layer");
  const expert = input("Expert", numExperts - 1, "expert-number");
  const step = (by) => {
    const place = (chosen.layer * numExperts + chosen.expert + by + numLayers * numExperts) % (numLayers * numExperts);
    chooseExpert(Math.floor(place / numExperts), place % numExperts);
  };
  const body = make("div", { id: "expert-body", "aria-live": "polite" });
  const take = () => {
    const [l, e] = [layer.field, expert.field].map((field) => Math.min(Number(field.max), Math.max(0, Math.round(Number(field.value)) || 0)));
    chooseExpert(l, e);
  };
  for (const { field } of [layer, expert]) field.addEventListener("change", take);
  section.append(make("div", { class: "controls" }, layer.element, expert.element,
    make("button", { type: "button", onclick: () => step(-1) }, "Previous"), make("button", { type: "button", onclick: () => step(1) }, "Next")), body);
  const arrays = await expertArrays();
  const update = () => {
    layer.field.value = chosen.layer;
    expert.field.value = chosen.expert;
    body.replaceChildren(...expertParts(chosen.layer, chosen.expert, arrays));
  };
  whenChosen((changes) => { if ("expert" in changes) update(); });
  update();
}

async function expertArrays() {
  const wanted = ["frequency", "low", "high", "lift", "lift_low", "lift_high", "entropy", "percentile", "cluster", "shared", "partners", "partner_share", "expert_tokens", "expert_token_counts", "expert_token_shares"];
  const found = wanted.filter(hasArray);
  const arrays = await Promise.all(found.map(array));
  return Object.fromEntries(found.map((name, index) => [name, arrays[index]]));
}

function expertParts(layer, expert, arrays) {
  const place = layer * numExperts + expert;
  return [make("h3", {}, `Layer ${layer}, expert ${expert}`), expertFacts(place, arrays), expertTable(place, arrays),
    make("div", { class: "columns" },
      make("div", {}, make("h3", {}, "Tokens"), tokensOf(place, arrays)),
      make("div", {}, make("h3", {}, "Selected together with"), partnersOf(place, layer, arrays)))];
}

function expertFacts(place, { entropy, percentile, cluster, shared }) {
  const facts = [];
  const add = (name, ...value) => facts.push(make("dt", {}, name), make("dd", {}, ...value));
  if (bandOfLayer.size) add("Band", bandOfLayer.get(Math.floor(place / numExperts)) ?? "none");
  const sets = signaturesOf(place);
  add("Signature", sets === null ? missing(reasonOf(doc.signatures)) : sets.length ? sets.map((set) => set.replaceAll(",", " + ")).join("; ") : "none: no set of groups selects it four times as often as every other group");
  add("Shared by all", shared ? (shared.values[place] ? "yes" : "no") : missing(reasonOf(doc.shared)));
  if (entropy) {
    const bits = entropy.values[place];
    add("Entropy over groups", Number.isNaN(bits) ? "none: never selected" : `${number(bits)} of ${number(Math.log2(names.length))} bits; ${percent(percentile.values[place])} of the layer's experts are as specific or more so`);
  }
  if (cluster) add("Cluster", cluster.values[place] === 255 ? "none: never selected" : doc.clusters[cluster.values[place]].name);
  return make("dl", { class: "facts" }, facts);
}

function expertTable(place, { frequency, low, high, lift, lift_low: liftLow, lift_high: liftHigh }) {
  const read = (values, group) => (values ? ofGroup(values, group)[place] : NaN);
  const groups = names.map((_, group) => group);
  const most = Math.max(...groups.map((group) => read(high, group) || read(frequency, group)), 0.01);
  const reach = Math.max(1, ...groups.flatMap((group) => [read(liftLow, group), read(liftHigh, group), read(lift, group)]).filter(Number.isFinite).map(Math.abs));
  const between = (write, from, to) => (Number.isFinite(from) ? make("span", { class: "whole" }, `${write(from)} to ${write(to)}`) : "");
  const rows = groups.map((group) => [longName(names[group]),
    percent(read(frequency, group)), between(percent, read(low, group), read(high, group)),
    rangeBar(read(frequency, group), read(low, group), read(high, group), { from: 0, to: most }),
    Number.isFinite(read(lift, group)) ? signed(read(lift, group)) : make("span", { class: "missing" }, "never selected"), between(signed, read(liftLow, group), read(liftHigh, group)),
    rangeBar(read(lift, group), read(liftLow, group), read(liftHigh, group), { from: -reach, to: reach })]);
  return table([{ title: "group" }, { title: "selected on", number: true }, { title: "95 % interval", number: true }, { title: `0 to ${percent(most)}` },
    { title: "lift", number: true }, { title: "95 % interval", number: true }, { title: `\u2212${number(reach)} to +${number(reach)}` }], rows, { tall: rows.length > 12, caption: "Frequency and lift by group; lines are 95 % intervals" });
}

function tokensOf(place, { expert_tokens: ids, expert_token_counts: counts, expert_token_shares: shares }) {
  if (!ids) return missing(reasonOf(doc.traces.top_tokens) ?? "no tokens");
  const width = ids.shape.at(-1);
  const rows = [];
  for (let index = place * width; index < (place + 1) * width; index++) {
    if (counts.values[index]) rows.push([tokenText(doc.page.tokens[ids.values[index]]), counts.values[index], percent(shares.values[index])]);
  }
  if (!rows.length) return make("p", { class: "missing" }, "No token goes here more often than chance.");
  return table([{ title: "token" }, { title: "times here", number: true }, { title: "of its occurrences", number: true }], rows, { caption: "Tokens that go here more often than others do" });
}

/** Shows a token: isolated, in its own direction, spaces and marks made visible, pieces of characters as bytes. */
function tokenText({ id, text, bytes, script }) {
  if (text === undefined) return make("span", { class: "bytes", title: bytes ? "a piece of a character" : "no tokenizer was given" }, bytes ?? `token ${id}`);
  const element = make("bdi", { class: "token", dir: "auto", lang: script && !/^Z/.test(script) ? `und-${script}` : null });
  const mark = (character) => make("span", { class: "space" }, character);
  for (const part of text.match(/[\s\p{Cc}]|[^\s\p{Cc}]+/gu) ?? []) {
    if (/^[\s\p{Cc}]$/u.test(part)) element.append(mark({ " ": "\u2423", "\n": "\u21b5", "\t": "\u21e5" }[part] ?? `U+${part.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`));
    // A mark that has nothing to stand on gets the dotted circle.
    else element.append(/^\p{M}/u.test(part) ? `\u25cc${part}` : part);
  }
  return element;
}

function partnersOf(place, layer, { partners, partner_share: shares }) {
  if (!partners) return missing(reasonOf(doc.traces.co_activation) ?? "no selections");
  const width = partners.shape.at(-1);
  const rows = [];
  for (let index = place * width; index < (place + 1) * width; index++) {
    if (shares.values[index] > 0) rows.push([expertButton(layer, partners.values[index]), percent(shares.values[index])]);
  }
  return rows.length ? table([{ title: "layer:expert" }, { title: "of this expert's tokens", number: true }], rows, { caption: "Experts selected with this one" })
    : make("p", { class: "missing" }, "It was never selected, or always alone.");
}
