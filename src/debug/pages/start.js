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
    aglet.key(String(i + 1), view.title, () => { location.hash = view.id; });
  });
  aglet.key("p", "pause, go on", aglet.pause);
  aglet.key("t", "dark or light", aglet.theme);
  aglet.key("?", "these keys", aglet.help);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", aglet.themed);
  for (const id of ["pause", "theme", "help"])
    document.getElementById(id).addEventListener("click", aglet[id]);
  addEventListener("hashchange", aglet.go);
  addEventListener("keydown", aglet.onKey);
  addEventListener("resize", () => aglet.current.redraw?.());
  // Not a link to a view: hashes are views here.
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("view").focus();
  });
  aglet.go();
  aglet.themed();
  aglet.tick();
})();
