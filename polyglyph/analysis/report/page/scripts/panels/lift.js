// The map of lift: layers x experts of one group.

async function liftPanel() {
  const section = panel("map", "Map of one group", "Lift: the binary logarithm of how often an expert is selected on tokens of this group, over its mean frequency on all groups, each weighted alike. Zero is average, +1 twice as often.");
  if (!hasArray("lift")) return void section.append(missing(reasonOf(doc.lift)));
  const [lift, frequency] = await Promise.all([array("lift"), array("frequency")]);
  const shape = { experts: numExperts };
  const pick = picker("Group", names.map(longName), (group) => choose({ group }), { id: "group" });
  const map = heatmap({
    id: "lift-map", label: "Lift by layer and expert", rows: numLayers, columns: numExperts,
    read: () => {
      const values = ofGroup(lift, chosen.group);
      return { values, scale: signedScale(limitOf(lift.values)), legend: { unit: "binary logarithm", hatch: "never selected on this group" } };
    },
    describe: (layer, expert) => {
      const place = layer * shape.experts + expert;
      const value = ofGroup(lift, chosen.group)[place];
      return `layer ${layer}, expert ${expert}: lift ${signed(value)} on ${names[chosen.group]}, selected on ${percent(ofGroup(frequency, chosen.group)[place])} of its tokens`;
    },
    pick: (layer, expert) => chooseExpert(layer, expert),
    marked: () => [chosen.layer, chosen.expert],
  });
  section.append(make("div", { class: "controls" }, pick.element), map.element);
  whenChosen((changes) => {
    pick.select.selectedIndex = chosen.group;
    if ("group" in changes || "expert" in changes) map.redraw();
  });
}
