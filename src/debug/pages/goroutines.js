// SPDX-License-Identifier: MIT
// Goroutines by where they were started and what they do; with a search, and the backtrace of the
// one in a group that has waited longest. Groups, not goroutines: there may be 100,000.
"use strict";

(() => {
  const columns = [
    ["Count", (g) => g.count, "number"],
    ["Longest wait", (g) => g.longest_ns, "number"],
    ["State", (g) => g.state],
    ["Function", (g) => g.call],
    ["Started by", (g) => g.by],
    ["At", (g) => `${g.file}:${g.line}`],
  ];
  let sortBy = 0, isUp = false, words = "", open = null, focused = null;
  let body, note, heads;

  const keyOf = (g) => `${g.file}:${g.line} ${g.call} ${g.state}`;
  const textOf = (g) => `${g.state} ${g.call} ${g.by} ${g.file}:${g.line}`;
  const compare = (a, b) => {
    const [x, y] = [columns[sortBy][1](a), columns[sortBy][1](b)];
    const order = x < y ? -1 : x > y ? 1 : 0;
    return (isUp ? order : -order) || b.count - a.count;
  };

  const toggle = async (g) => {
    const key = keyOf(g);
    if (open && open.key === key) {
      open = null;
    } else {
      open = { key, text: "asking…" };
      update(aglet.now);
      try {
        open = { key, text: await aglet.ask(`goroutines?id=${g.example}`) };
      } catch (error) {
        open = { key, text: error.message };
      }
    }
    update(aglet.now);
  };

  const rowOf = (g) => {
    const key = keyOf(g), isOpen = open && open.key === key;
    const row = aglet.make("tr",
      aglet.make("td.number", aglet.number(g.count)),
      aglet.make("td.number", aglet.time(g.longest_ns)),
      aglet.make("td", g.state), aglet.make("td.place", g.call), aglet.make("td.place", g.by),
      aglet.make("td.place", `${g.file}:${g.line}`));
    row.tabIndex = 0;
    row.dataset.key = key;
    row.setAttribute("aria-expanded", String(!!isOpen));
    row.title = "Enter: the backtrace of one";
    row.addEventListener("click", () => toggle(g));
    row.addEventListener("focus", () => { focused = key; });
    row.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(g); }
    });
    if (!isOpen) return [row];
    const cell = aglet.make("td", aglet.make("pre", open.text));
    cell.colSpan = columns.length;
    return [row, aglet.make("tr", cell)];
  };

  const update = ({ groups }) => {
    const matches = aglet.matcher(words);
    const found = groups.filter((g) => !matches || matches(textOf(g))).sort(compare);
    const count = (list) => list.reduce((sum, g) => sum + g.count, 0);
    const hadFocus = body.contains(document.activeElement);
    note.textContent = `${aglet.number(count(found))} of ${aglet.number(count(groups))} `
      + `goroutines, ${found.length} of ${groups.length} groups`;
    body.replaceChildren(...found.slice(0, 500).flatMap(rowOf));
    heads.forEach((head, i) => head.setAttribute("aria-sort",
      i !== sortBy ? "none" : isUp ? "ascending" : "descending"));
    if (hadFocus) [...body.rows].find((row) => row.dataset.key === focused)?.focus();
  };

  const show = (place) => {
    const search = aglet.searchBox("Search: words of state, function, file", words, (text) => {
      words = text;
      update(aglet.now);
    });
    note = aglet.make("p.note");
    body = aglet.make("tbody");
    const head = aglet.heads(...columns.map(([name, , kind], i) => [aglet.button(name, "", () => {
      isUp = sortBy === i ? !isUp : i > 1;
      sortBy = i;
      update(aglet.now);
    }), kind]));
    heads = [...head.rows[0].cells];
    const whole = aglet.make("a", "The whole dump");
    whole.href = "goroutines";
    place.append(aglet.make("p", search), note,
      aglet.make("div.wide", aglet.make("table", head, body)),
      aglet.make("p", whole));
  };

  const move = (by) => {
    const rows = [...body.rows].filter((row) => row.dataset.key);
    const at = rows.indexOf(document.activeElement);
    rows[Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
  };

  aglet.view({ id: "goroutines", title: "Goroutines", show, update });
  aglet.key("/", "search", () => {
    if (!document.querySelector("#view input[type=search]")) {
      location.hash = "goroutines";
      aglet.go();
    }
    document.querySelector("#view input[type=search]").focus();
  });
  aglet.key("j", "next group", () => move(1), "goroutines");
  aglet.key("k", "group before", () => move(-1), "goroutines");
})();
