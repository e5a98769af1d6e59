// The order of the panels; an expert may be named in the address: #L12E5.

async function start() {
  startTheme();
  beginWithTheLargest();
  groupsPanel();
  layersPanel();
  await liftPanel();
  await differencesPanel();
  await expertPanel();
  signaturesPanel();
  sharedPanel();
  await clustersPanel();
  loadPanel();
  await tracesPanel();
  downloadsPanel();
  takeAddress();
  document.documentElement.dataset.ready = "true";
}

/** Begins with an expert of which there is something to see: that of the largest difference, or one with a signature. */
function beginWithTheLargest() {
  const tops = reasonOf(doc.differences) ? [] : Object.values(doc.differences).flatMap(({ top }) => top.slice(0, 1));
  const [place] = Object.values(doc.page.signature_experts).flat();
  if (tops.length) Object.assign(chosen, { layer: tops[0].layer, expert: tops[0].expert });
  else if (place !== undefined) Object.assign(chosen, { layer: Math.floor(place / numExperts), expert: place % numExperts });
}

function takeAddress() {
  const found = /^#L(\d+)E(\d+)$/.exec(location.hash);
  if (found && Number(found[1]) < numLayers && Number(found[2]) < numExperts) chooseExpert(Number(found[1]), Number(found[2]), { scroll: true });
}

addEventListener("hashchange", takeAddress);
start();
