// SPDX-License-Identifier: MIT
// What all views share: asking the program, the clock, the theme, keys. A view is a file that calls
// aglet.view({id, title, show(place), update(data), hide(), redraw()}): show builds its elements;
// the others may be left out: update is called with {stats, procs, groups} after each look, hide
// before another view comes, redraw when the colours have changed. Everything is put into the page
// as text, never as HTML.
"use strict";

const aglet = {
  views: [],
  looks: [],       // the last ones: {stats, procs}
  now: null,       // the last look with its groups
  paused: false,
  current: null,
  keys: [],        // {key, about, fn, view}; view: where it works, undefined: everywhere
};

aglet.view = (view) => aglet.views.push(view);

// An element: make("td.number", "text") or make("tr", child, child).
aglet.make = (what, ...content) => {
  const [name, ...classes] = what.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  element.append(...content.map((part) => (part instanceof Node ? part : String(part))));
  return element;
};

aglet.ask = async (path) => {
  const answer = await fetch(path, { cache: "no-store" });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text.trim() || `status ${answer.status}`);
  return text;
};

aglet.number = (value) => Math.round(value).toLocaleString("en");
aglet.bytes = (value) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit + 1 < units.length; unit++) value /= 1024;
  return `${value.toFixed(value < 10 && unit ? 1 : 0)} ${units[unit]}`;
};
// A wait, in words that are as exact as people want; "" for none.
aglet.time = (ns) => {
  const s = ns / 1e9;
  if (!ns) return "";
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 120) return `${s.toFixed(1)} s`;
  return s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
};

// How much a counter grew per second from the look before to this one, the last; null: there is
// none before.
aglet.rate = (of, at = aglet.looks.length - 1) => {
  if (at < 1) return null;
  const [before, now] = [aglet.looks[at - 1], aglet.looks[at]];
  const seconds = (now.stats.now_ns - before.stats.now_ns) / 1e9;
  return seconds > 0 ? Math.max(0, of(now) - of(before)) / seconds : null;
};

aglet.say = (text, isBad) => {
  const status = document.getElementById("status");
  status.textContent = text;
  status.className = isBad ? "bad" : "";
};

aglet.look = async () => {
  const started = performance.now();
  const [stats, procs, groups] = await Promise.all(
    ["stats", "procs", "groups"].map((path) => aglet.ask(path).then(JSON.parse)));
  aglet.looks.push({ stats, procs });
  if (aglet.looks.length > 120) aglet.looks.shift();
  aglet.now = { stats, procs, groups };
  document.getElementById("process").textContent = `process ${stats.pid}`;
  document.title = `aglet ${stats.pid}: ${stats.goroutines} goroutines`;
  aglet.say(`${Math.round(performance.now() - started)} ms`);
  aglet.current.update?.(aglet.now);
};

aglet.tick = async () => {
  let wait = 1000;
  if (!aglet.paused && !document.hidden) {
    try {
      await aglet.look();
    } catch (error) {
      aglet.say(`no answer: ${error.message}`, true);
      wait = 3000;
    }
  }
  setTimeout(aglet.tick, wait);
};

aglet.go = () => {
  const id = location.hash.slice(1) || aglet.views[0].id;
  const view = aglet.views.find((one) => one.id === id) || aglet.views[0];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === aglet.current) return;
  aglet.current?.hide?.();
  aglet.tip(null);
  aglet.current = view;
  const place = document.getElementById("view");
  place.replaceChildren();
  view.show(place);
  if (aglet.now) view.update?.(aglet.now);
};

aglet.pause = () => {
  aglet.paused = !aglet.paused;
  document.getElementById("pause").textContent = aglet.paused ? "Go on" : "Pause";
  if (aglet.paused) aglet.say("paused");
};

aglet.isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

// The theme is another one, or may be.
aglet.themed = () => {
  document.getElementById("theme").textContent = aglet.isDark() ? "Light" : "Dark";
  aglet.current?.redraw?.();
};

aglet.theme = () => {
  const theme = aglet.isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("aglet-theme", theme); } catch { /* not kept */ }
  aglet.themed();
};

aglet.help = () => {
  const dialog = document.getElementById("keys");
  if (dialog.open) return dialog.close();
  const table = (keys) => aglet.make("table", aglet.make("tbody", ...keys.map(({ key, about }) =>
    aglet.make("tr", aglet.make("td", aglet.make("kbd", key === " " ? "Space" : key)),
      aglet.make("td", about)))));
  const here = aglet.keys.filter((one) => one.view === aglet.current.id);
  const parts = [aglet.make("h2", "Everywhere"), table(aglet.keys.filter((one) => !one.view))];
  if (here.length) parts.unshift(aglet.make("h2", aglet.current.title), table(here));
  dialog.replaceChildren(...parts);
  dialog.showModal();
};

// What a key does; in one view, or everywhere.
aglet.key = (key, about, fn, view) => aglet.keys.push({ key, about, fn, view });

aglet.onKey = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const dialog = document.getElementById("keys");
  if (dialog.open && event.key !== "?") return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox") {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const found = aglet.keys.find((one) => one.key === event.key && one.view === aglet.current.id)
    || aglet.keys.find((one) => one.key === event.key && !one.view);
  if (!found || (event.key === " " && event.target.tagName === "BUTTON")) return;
  event.preventDefault();
  found.fn();
};
