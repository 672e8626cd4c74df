// SPDX-License-Identifier: MIT
// The overview: counters with their last two minutes, and what lies in the queues.
"use strict";

(() => {
  const tiles = [
    ["Goroutines", (look) => look.stats.goroutines],
    ["Threads", (look) => look.stats.threads],
    ["Idle processors", (look) => look.procs.idle],
    ["In the global queue", (look) => look.procs.queued],
    ["Stacks, address space", (look) => look.stats.stack_bytes, aglet.bytes],
  ];
  const rates = [
    ["Started per second", (look) => look.stats.created],
    ["Switches per second", (look) => look.procs.procs.reduce((sum, p) => sum + p.runs, 0)],
    ["Stolen per second", (look) => look.stats.stolen],
    ["Handed on per second", (look) => look.stats.handed_on],
    ["Polls per second", (look) => look.stats.polls],
  ];
  let places, table;

  const tile = (name) => {
    const value = aglet.make("div.value", "–");
    const line = aglet.svg("polyline");
    const element = aglet.make("div.tile", aglet.make("div.name", name), value,
      aglet.svg("svg", { viewBox: "0 0 119 28", preserveAspectRatio: "none",
        "aria-hidden": "true" }, line));
    return { element, value, line };
  };

  const draw = (line, values) => {
    const most = Math.max(1, ...values), from = 120 - values.length;
    line.setAttribute("points",
      values.map((v, i) => `${from + i},${(26 - (24 * v) / most).toFixed(1)}`).join(" "));
  };

  // The rates between each two looks that follow each other.
  const ratesOf = (of) => aglet.looks.slice(1).map((_, i) => aglet.rate(of, i + 1) ?? 0);

  const show = (place) => {
    places = [...tiles, ...rates].map(([name]) => tile(name));
    const elements = places.map((one) => one.element);
    const head = aglet.heads(["P"], ["Runs goroutine", "number"], ["Switches/s", "number"],
      ["Queued", "number"], ["", "wide-one"]);
    table = aglet.make("tbody");
    place.append(
      aglet.make("h2", "Now"), aglet.make("div.tiles", ...elements.slice(0, tiles.length)),
      aglet.make("h2", "Rates"), aglet.make("div.tiles", ...elements.slice(tiles.length)),
      aglet.make("h2", "Processors"),
      aglet.make("div.wide", aglet.make("table", head, table)));
  };

  const update = ({ procs }) => {
    tiles.forEach(([, of, write], i) => {
      const values = aglet.looks.map(of);
      places[i].value.textContent = (write || aglet.number)(values.at(-1));
      draw(places[i].line, values);
    });
    rates.forEach(([, of], i) => {
      const values = ratesOf(of), at = places[tiles.length + i];
      at.value.textContent = values.length ? aglet.number(values.at(-1)) : "–";
      draw(at.line, values);
    });
    const most = Math.max(1, ...procs.procs.map((p) => p.queued));
    table.replaceChildren(...procs.procs.map((p) => {
      const bar = aglet.make("div.bar");
      bar.style.width = `${(100 * p.queued) / most}%`;
      const runs = aglet.rate((look) => (look.procs.procs[p.index] || { runs: 0 }).runs);
      return aglet.make("tr", aglet.make("td", p.index),
        aglet.make("td.number", p.goroutine || "idle"),
        aglet.make("td.number", runs === null ? "–" : aglet.number(runs)),
        aglet.make("td.number", aglet.number(p.queued)), aglet.make("td", bar));
    }));
  };

  aglet.view({ id: "overview", title: "Overview", show, update });
})();
