// SPDX-License-Identifier: MIT
// The graph of waits: goroutines, what they wait for, and who has it. The program puts together who
// stands at the same place, so the drawing stays small; circles come first, marked. Who waits for
// nothing that others have - timers, the network, nothing at all - is listed below it.
"use strict";

(() => {
  const W = 216, H = 46, OBJECT_W = 168, OBJECT_H = 38;
  let data = null, each = "-1", words = "", chosen = null, timer = 0, asking = false;
  let view = { x: 0, y: 0, scale: 1 }, size = { w: 1, h: 1 }, moved = false, fitted = true;
  let tools, line, picture, group, detail, rest, again;

  // --- Words. ---

  // The function that called what it waits in.
  const whereOf = (node) => {
    const call = node.stack.slice(0, 4).findIndex(([name]) => name.startsWith("ag_"));
    return (node.stack[call + 1] || node.stack[0])?.[0] || node.site?.[0] || "?";
  };
  const nameOf = (node) => {
    if (node.count > 1) return `${aglet.number(node.count)} × ${whereOf(node)}`;
    return node.name ? `${node.id} “${node.name}”` : `${node.id} ${whereOf(node)}`;
  };
  const objectName = (object) => (object.count > 1
    ? `${aglet.number(object.count)} ${object.kind}s` : object.kind);
  const textOf = (node) => [node.state, node.name, node.ids.join(" "), ...(node.site || []),
    ...node.stack.map((frame) => frame.join(" "))].join(" ");

  // --- The drawing. ---

  const border = (node, toX, toY) => {
    const [x, y] = [node.x + node.w / 2, node.y + node.h / 2];
    const [dx, dy] = [toX - x, toY - y];
    const part = Math.min(dx ? node.w / 2 / Math.abs(dx) : Infinity,
      dy ? node.h / 2 / Math.abs(dy) : Infinity);
    return [x + dx * part, y + dy * part];
  };

  // From the right side to the left one where there is room between; else straight. And where the
  // middle of its label is, which is so wide.
  const pathOf = (from, to, label) => {
    if (to.x >= from.x + from.w + 20 && !(from.ring && from.ring === to.ring)) {
      const [x1, y1] = [from.x + from.w, from.y + from.h / 2];
      const [x2, y2] = [to.x - 2, to.y + to.h / 2];
      const bend = Math.max(24, (x2 - x1) / 2);
      // The label stands on it, near to where it begins: many arrows may end at one place.
      const mix = (at, a, b, c, d) => a * (1 - at) ** 3 + 3 * b * at * (1 - at) ** 2
        + 3 * c * at * at * (1 - at) + d * at ** 3;
      const xAt = (at) => mix(at, x1, x1 + bend, x2 - bend, x2);
      let at = 0.2;
      while (at < 0.5 && xAt(at) < x1 + label / 2 + 6) at += 0.02;
      return [`M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`, xAt(at),
        mix(at, y1, y1, y2, y2)];
    }
    const middle = (node) => [node.x + node.w / 2, node.y + node.h / 2];
    const [x1, y1] = border(from, ...middle(to)), [x2, y2] = border(to, ...middle(from));
    return [`M${x1},${y1} L${x2},${y2}`, (x1 + x2) / 2, (y1 + y2) / 2];
  };

  const drawArrow = ({ from, to, kind, text, count }) => {
    const inRing = from.circle && from.circle === to.circle;
    // The number, unless the goroutines' box says the same.
    const node = from.kind ? to : from;
    const many = count > 1 && count !== node.count ? `× ${aglet.number(count)}` : "";
    const label = [text, many].filter(Boolean).join(" "), width = label.length * 6 + 8;
    const [path, x, y] = pathOf(from, to, width);
    const arrow = aglet.svg("g", { class: `arrow ${kind}${inRing ? " circle" : ""}` },
      aglet.svg("path", { d: path,
        "marker-end": `url(#head-${inRing ? "circle" : kind})` }));
    if (label) {
      arrow.append(aglet.svg("rect", { x: x - width / 2, y: y - 8, width, height: 16, rx: 4 }),
        aglet.svg("text", { x, y: y + 4, "text-anchor": "middle" }, label));
    }
    return arrow;
  };

  const drawNode = (node) => {
    const isObject = !!node.kind;
    const title = isObject ? objectName(node) : nameOf(node), room = node.w - (isObject ? 30 : 16);
    const note = isObject ? (node.about.split(", ")[0] || (node.count > 1 ? "" : node.at))
      : [node.state, node.waits ? aglet.time(node.longest_ns) : ""].filter(Boolean).join(", ");
    const box = aglet.svg("g", {
      class: `node ${isObject ? "object" : "goroutines"}${node.circle ? " circle" : ""}`,
      transform: `translate(${node.x},${node.y})`, tabindex: 0, role: "button",
      "aria-label": `${title}, ${note}${node.circle ? ", in a circle" : ""}` },
    aglet.svg("rect", { width: node.w, height: node.h, rx: isObject ? node.h / 2 : 7 }),
    aglet.svg("text", { x: node.w / 2, y: note ? node.h / 2 - 3 : node.h / 2 + 5, class: "title" },
      aglet.fit(title, room, "600 12.5px system-ui, sans-serif")),
    aglet.svg("text", { x: node.w / 2, y: node.h / 2 + 13, class: "small" },
      aglet.fit(note, room, "11.5px system-ui, sans-serif")));
    if (!isObject && node.count > 1)
      box.prepend(aglet.svg("rect", { x: 4, y: 4, width: node.w, height: node.h, rx: 7,
        class: "behind" }));
    node.box = box;
    box.addEventListener("click", () => { if (!moved) choose(node); });
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose(node);
    });
    return box;
  };

  const heads = () => aglet.svg("defs", {}, ...["waits", "has", "circle"].map((kind) =>
    aglet.svg("marker", { id: `head-${kind}`, class: kind, viewBox: "0 0 10 10", refX: 9, refY: 5,
      markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
    aglet.svg("path", { d: "M0,1 L10,5 L0,9 Z" }))));

  const shownNodes = () => {
    const linked = new Set([...data.waits.map(([node]) => node), ...data.has.map(([, n]) => n)]);
    const goroutines = data.nodes.filter((node, i) => {
      node.w = W;
      node.h = H;
      return linked.has(i);
    });
    for (const object of data.objects) Object.assign(object, { w: OBJECT_W, h: OBJECT_H });
    const all = [...goroutines, ...data.objects];
    for (const node of all) {
      const members = all.filter((one) => one.circle === node.circle).length;
      node.ring = node.circle && members <= 20 ? node.circle : 0;
      node.first = node.circle ? 0 : 1;
    }
    return all;
  };

  const draw = () => {
    if (!data) return;
    const nodes = shownNodes(), at = new Map(nodes.map((node, i) => [node, i]));
    const arrows = [
      ...data.waits.map(([node, object, count, text]) => ({ from: data.nodes[node],
        to: data.objects[object], kind: "waits", text, count })),
      ...data.has.map(([object, node, count]) => ({ from: data.objects[object],
        to: data.nodes[node], kind: "has", text: "", count })),
    ];
    size = aglet.layout(nodes, arrows.map(({ from, to }) => [at.get(from), at.get(to)]));
    group = aglet.svg("g", {}, ...arrows.map(drawArrow), ...nodes.map(drawNode));
    picture.replaceChildren(heads(), group);
    picture.classList.toggle("empty", !nodes.length);
    mark();
    list(data.nodes.filter((node) => !at.has(node)));
  };

  const fit = () => {
    if (!data) return;
    fitted = true;
    const { width, height } = picture.getBoundingClientRect();
    const scale = Math.min(1, (width - 32) / size.w, (height - 32) / size.h);
    // What would be too small to read is rather cut: its beginning has the circles.
    const readable = Math.max(scale, Math.min(0.55, (width - 32) / size.w), 0.12);
    view = { scale: readable, x: Math.max(16, (width - size.w * readable) / 2),
      y: Math.max(16, (height - size.h * readable) / 2) };
    move();
  };

  const move = () => group?.setAttribute("transform",
    `translate(${view.x},${view.y}) scale(${view.scale})`);

  const zoom = (by, x, y) => {
    const box = picture.getBoundingClientRect();
    [x, y] = x === undefined ? [box.width / 2, box.height / 2] : [x - box.left, y - box.top];
    const scale = Math.min(3, Math.max(0.05, view.scale * by));
    fitted = false;
    view = { scale, x: x - ((x - view.x) * scale) / view.scale,
      y: y - ((y - view.y) * scale) / view.scale };
    move();
  };

  // --- What is chosen, and what is searched. ---

  const mark = () => {
    const matches = aglet.matcher(words);
    for (const node of [...data.nodes, ...data.objects]) {
      if (!node.box) continue;
      const text = node.kind ? `${node.kind} ${node.at} ${node.about}` : textOf(node);
      node.box.classList.toggle("other", !!matches && !matches(text));
      node.box.classList.toggle("chosen", node === chosen);
    }
  };

  const choose = (node) => {
    chosen = node;
    mark();
    const parts = [];
    if (node.kind) {
      parts.push(aglet.make("h2", objectName(node)),
        aglet.make("p", node.count > 1 ? "with the same goroutines around them" : node.at),
        aglet.make("p", node.about));
    } else {
      const stack = node.stack.map(([name, file, at]) =>
        `${name}\n    ${aglet.fileOf(file)}:${at}`).join("\n");
      const trace = aglet.make("pre", stack || "no stack can be seen");
      parts.push(aglet.make("h2", nameOf(node)),
        aglet.make("p", `${node.state}${node.timed ? ", with a timer" : ""}`
          + `${node.longest_ns ? `, ${aglet.time(node.longest_ns)}` : ""}`),
        aglet.make("p.note", node.site ? `${node.site[0]}, started by ${node.site[1]} at `
          + `${aglet.fileOf(node.site[2])}:${node.site[3]}` : ""),
        trace,
        aglet.make("p", aglet.button(node.count > 1 ? `All of goroutine ${node.id}` : "All of it",
          "its backtrace, as in a dump", () => aglet.backtrace(trace, node.id))));
    }
    if (node.circle)
      parts.splice(1, 0, aglet.make("p.bad", node.timed ? "In a circle, which a timer may end."
        : "In a circle: each waits for what the next one has."));
    detail.replaceChildren(aglet.button("×", "close", unchoose), ...parts);
    detail.hidden = false;
    if (fitted) fit();
  };

  const unchoose = () => {
    const was = chosen;
    chosen = null;
    detail.hidden = true;
    if (data) mark();
    if (fitted) fit();
    was?.box?.focus();
  };

  const list = (nodes) => {
    rest.parentElement.parentElement.hidden = !nodes.length;
    rest.replaceChildren(...nodes.map((node) => {
      const button = aglet.button(whereOf(node), "its stack", () => choose(node));
      return aglet.make("tr", aglet.make("td.number", aglet.number(node.count)),
        aglet.make("td", node.state),
        aglet.make("td.number", node.waits ? aglet.time(node.longest_ns) : ""),
        aglet.make("td.place", button),
        aglet.make("td.place", node.site ? `${aglet.fileOf(node.site[2])}:${node.site[3]}` : ""));
    }));
  };

  // --- Asking. ---

  const ask = async (keep) => {
    if (asking) return;
    asking = true;
    again.disabled = true;
    const started = performance.now();
    try {
      const answer = JSON.parse(await aglet.ask(`waits?each=${each}`));
      if (!picture.isConnected) return;
      const had = chosen && !chosen.kind ? chosen.id : null, hadData = data && keep;
      data = answer;
      draw();
      if (!hadData || fitted) fit();
      else move();
      chosen = data.nodes.find((node) => node.id === had) || null;
      mark();
      tell(performance.now() - started);
    } catch (error) {
      line.textContent = `no answer: ${error.message}`;
    } finally {
      asking = false;
      again.disabled = false;
    }
  };

  const tell = (ms) => {
    const left = data.left_out;
    const circles = data.circles ? `${aglet.count(data.circles, "circle")} of goroutines that wait `
      + "for each other" : "no circle";
    line.textContent = [aglet.count(data.goroutines, "goroutine"), circles,
      left.nodes ? `${aglet.number(left.goroutines)} goroutines at ${aglet.number(left.nodes)} `
        + "other places are left out" : "", `${Math.round(ms)} ms`].filter(Boolean).join(" · ");
    line.classList.toggle("bad", data.circles > 0);
  };

  // Again by itself, but not where it costs the program much.
  const again_later = async () => {
    if (!aglet.paused && !document.hidden && data && data.goroutines < 20000 && !chosen
      && !group?.contains(document.activeElement)) await ask(true);
    if (picture.isConnected) timer = setTimeout(again_later, 4000);
  };

  const drag = (event) => {
    const [x, y] = [event.clientX - view.x, event.clientY - view.y];
    const start = [event.clientX, event.clientY];
    moved = false;
    const go = (to) => {
      if (Math.hypot(to.clientX - start[0], to.clientY - start[1]) > 4) moved = true;
      if (!moved) return;
      fitted = false;
      view.x = to.clientX - x;
      view.y = to.clientY - y;
      move();
    };
    const end = () => {
      removeEventListener("pointermove", go);
      removeEventListener("pointerup", end);
    };
    addEventListener("pointermove", go);
    addEventListener("pointerup", end);
  };

  const show = (place) => {
    tools = aglet.make("div.tools");
    line = aglet.make("p.note.line", "asking…");
    line.setAttribute("aria-live", "polite");
    again = aglet.button("Again", "r", () => ask(true));
    tools.append(again, aglet.searchBox("Search goroutines", words, (text) => {
      words = text;
      if (data) mark();
    }), aglet.choice("Grouping", [["-1", "groups where they are many"], ["0", "groups"],
      ["1", "each goroutine"]], each, (value) => { each = value; ask(false); }),
    aglet.button("Fit", "0", fit), aglet.button("+", "+", () => zoom(1.25)),
    aglet.button("−", "-", () => zoom(0.8)));
    picture = aglet.svg("svg", { class: "picture", "aria-label": "Graph of waits", role: "group" });
    picture.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 500), event.clientX, event.clientY);
    }, { passive: false });
    picture.addEventListener("pointerdown", drag);
    detail = aglet.make("aside.detail");
    detail.hidden = true;
    rest = aglet.make("tbody");
    const others = aglet.make("div.wide", aglet.make("table", aglet.heads(["Count", "number"],
      ["State"], ["Longest", "number"], ["At"], ["Started at"]), rest));
    others.prepend(aglet.make("h2", "Not waiting for what others have"));
    others.hidden = true;
    place.append(tools, line, aglet.make("div.stage", picture, detail),
      aglet.make("p.keys", aglet.legend("goroutines", "goroutines"),
        aglet.legend("object", "what they wait for"), aglet.legend("waits", "waits for"),
        aglet.legend("has", "is held by, or needs"),
        aglet.legend("circle", "a circle: none can go on")), others);
    chosen = data = null;
    ask(false);
    timer = setTimeout(again_later, 4000);
  };

  const hide = () => clearTimeout(timer);

  const redraw = () => { if (fitted) fit(); };

  aglet.view({ id: "waits", title: "Waits", show, hide, redraw });
  aglet.key("r", "look again", () => ask(true), "waits");
  aglet.key("0", "fit into the window", fit, "waits");
  aglet.key("+", "larger", () => zoom(1.25), "waits");
  aglet.key("-", "smaller", () => zoom(0.8), "waits");
  aglet.key("Escape", "close the details", unchoose, "waits");
})();
