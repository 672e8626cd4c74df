// SPDX-License-Identifier: MIT
// Everything that this program can be asked, as it says itself.
"use strict";

(() => {
  let body;
  const show = async (place) => {
    body = aglet.make("tbody");
    place.append(aglet.make("h2", "What this program can be asked"),
      aglet.make("div.wide", aglet.make("table", body)),
      aglet.make("p.note", "The tool asks the same: aglet get PID PATH."));
    try {
      const lines = (await aglet.ask("list")).trim().split("\n");
      body.replaceChildren(...lines.map((line) => {
        const [, path, about] = line.match(/^(\S+)\s*(.*)$/);
        const link = aglet.make(path.includes("*") ? "span" : "a", path);
        if (!path.includes("*")) link.href = path;
        return aglet.make("tr", aglet.make("td.place", link), aglet.make("td", about));
      }));
    } catch (error) {
      aglet.say(`no answer: ${error.message}`, true);
    }
  };
  aglet.view({ id: "answers", title: "All answers", show });
})();
