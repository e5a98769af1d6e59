// Light and dark: as the system says, or as chosen; what is drawn on canvases is drawn again.

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const redraws = [];

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : darkSystem.matches;
}

/** Calls now, and whenever the theme or the width changes. */
function keepDrawn(redraw) {
  redraws.push(redraw);
  redraw();
}

function redrawAll() {
  for (const redraw of redraws) redraw();
}

const remembered = {
  get() { try { return localStorage.getItem("polyglyph-theme"); } catch { return null; } },
  set(theme) { try { localStorage.setItem("polyglyph-theme", theme); } catch { /* a file may have no storage */ } },
};

function startTheme() {
  const select = document.getElementById("theme");
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    redrawAll();
  };
  select.value = ["light", "dark"].includes(remembered.get()) ? remembered.get() : "auto";
  apply(select.value);
  select.addEventListener("change", () => { remembered.set(select.value); apply(select.value); });
  darkSystem.addEventListener("change", redrawAll);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redrawAll(); } });
}

function inkOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
