// Signatures: experts that every group of a set selects far more often than any group outside it.

let membersOfPlace = null;

function signaturesOf(place) {
  if (reasonOf(doc.signatures)) return null;
  if (!membersOfPlace) {
    membersOfPlace = new Map();
    for (const [set, experts] of Object.entries(doc.page.signature_experts)) {
      for (const at of experts) membersOfPlace.set(at, [...(membersOfPlace.get(at) ?? []), set]);
    }
  }
  return membersOfPlace.get(place) ?? [];
}

function signaturesPanel() {
  const section = panel("signatures", "Signatures", "An expert has the signature of a set of groups when the least of the set selects it on more than 5 % of its tokens, and more than four times as often as the most of the others.");
  if (reasonOf(doc.signatures)) return void section.append(missing(reasonOf(doc.signatures)));
  const sets = Object.entries(doc.signatures).map(([set, bands]) => ({ set, bands, total: Object.values(bands).reduce((sum, count) => sum + count, 0) }));
  const most = Math.max(1, ...sets.map(({ total }) => total));
  const withEmpty = make("input", { id: "with-empty", type: "checkbox", onchange: () => update() });
  const place = make("div", {});
  const experts = make("div", { "aria-live": "polite" });
  const update = () => {
    const shown = sets.filter(({ total }) => total || withEmpty.checked).sort((one, other) => other.total - one.total);
    const rows = shown.map(({ set, bands, total }) => [set.replaceAll(",", " + "), ...Object.values(bands), total, bar(total / most),
      total ? make("button", { class: "chip", type: "button", onclick: () => experts.replaceChildren(...expertsOf(set)) }, "experts") : ""]);
    place.replaceChildren(rows.length ? table([{ title: "groups" }, ...Object.keys(sets[0].bands).map((title) => ({ title, number: true })), { title: "all", number: true }, { title: "" }, { title: "" }], rows, { tall: true, caption: "Experts by signature and band of layers" })
      : make("p", { class: "missing" }, "No expert has a signature."));
  };
  section.append(make("p", {}, `${number(sets.length)} sets were tried.`), make("div", { class: "controls" }, make("label", {}, withEmpty, "also sets without experts")), place, experts);
  update();
}

function expertsOf(set) {
  const places = doc.page.signature_experts[set];
  const shown = places.slice(0, 200).map((place) => expertButton(Math.floor(place / numExperts), place % numExperts));
  return [make("h3", {}, `Experts (layer:expert) of ${set.replaceAll(",", " + ")}`), make("p", {}, shown), places.length > 200 ? make("p", { class: "faint" }, `and ${places.length - 200} more; the table to download has all`) : null].filter(Boolean);
}

function bar(share) {
  const element = make("span", { class: "bar", "aria-hidden": "true" });
  element.style.width = `${Math.round(120 * share)}px`;
  return element;
}

function sharedPanel() {
  const section = panel("shared", "Shared experts", "Selected by every group more than twice as often as an even spread would, and by all about alike (coefficient of variation below 0.25).");
  if (reasonOf(doc.shared)) return void section.append(missing(reasonOf(doc.shared)));
  const counts = Object.entries(doc.shared.by_band).map(([band, count]) => `${band} ${count}`).join(", ");
  section.append(make("p", {}, `${number(doc.shared.experts.length)} of them: ${counts}.`), make("p", {}, doc.shared.experts.slice(0, 200).map(([layer, expert]) => expertButton(layer, expert))));
}
