// SPDX-License-Identifier: MIT
// After all views have told of themselves: links, keys, the first look.
"use strict";

(() => {
  const kept = () => { try { return localStorage.getItem("aglet-theme"); } catch { return null; } };
  if (kept()) document.documentElement.dataset.theme = kept();
  aglet.views.forEach((view, i) => {
    const link = aglet.make("a", view.title);
    link.href = `#${view.id}`;
    link.title = String(i + 1);
    document.getElementById("views").append(link);
    aglet.keys.splice(i, 0, [String(i + 1), view.title, () => { location.hash = view.id; }]);
  });
  aglet.key("p", "pause, go on", aglet.pause);
  aglet.key("t", "dark or light", aglet.theme);
  aglet.key("?", "these keys", aglet.help);
  for (const id of ["pause", "theme", "help"])
    document.getElementById(id).addEventListener("click", aglet[id]);
  addEventListener("hashchange", aglet.go);
  addEventListener("keydown", aglet.onKey);
  aglet.go();
  aglet.tick();
})();
