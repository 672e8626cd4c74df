// SPDX-License-Identifier: MIT
// The program's histograms, from its metrics: how long goroutines waited for a processor, how long
// requests took, and those of the program itself; and how long the queues are now.
"use strict";

(() => {
  const POLL_MS = 1000, KEPT = 60;
  let history = [], span = "all", timer = 0, cards = new Map();
  let line, charts, queues, spans;

  // --- Prometheus' text. ---

  const unescape = (text) => text.replace(/\\(["\\n])/g, (_, c) => (c === "n" ? "\n" : c));

  const parse = (text) => {
    const families = new Map();
    for (const row of text.split("\n")) {
      const about = row.match(/^# (HELP|TYPE) (\S+) ?(.*)$/);
      if (about) {
        const family = families.get(about[2]) || { help: "", type: "", series: new Map() };
        family[about[1].toLowerCase()] = about[3];
        families.set(about[2], family);
        continue;
      }
      const [, name, labels = "", value] = row.match(/^([^\s{]+)(?:\{(.*)\})? (\S+)/) || [];
      const [, of, part] = name?.match(/^(.*)_(bucket|sum|count)$/) || [];
      const family = families.get(of);
      if (family?.type !== "histogram") continue;
      let le = "";
      const rest = labels.replace(/([\w:]+)="((?:[^"\\]|\\.)*)",?/g, (_, key, text_) => {
        if (key === "le") le = text_;
        return key === "le" ? "" : `${key}=${unescape(text_)} `;
      }).trim();
      if (!family.series.has(rest)) family.series.set(rest, { buckets: [], sum: 0, count: 0 });
      const one = family.series.get(rest);
      if (part === "bucket") one.buckets.push([le === "+Inf" ? Infinity : Number(le),
        Number(value)]);
      else one[part] = Number(value);
    }
    return families;
  };

  // --- Figures. ---

  // What was added from `before` to `now`; before: undefined is nothing.
  const since = (now, before) => {
    let last = 0;
    const buckets = now.buckets.map(([to, count], i) => {
      const all = count - (before?.buckets[i]?.[1] || 0), own = Math.max(0, all - last);
      last = all;
      return { to, count: own };
    });
    return { buckets, count: now.count - (before?.count || 0), sum: now.sum - (before?.sum || 0) };
  };

  // Within a bucket they are taken to lie evenly.
  const quantile = (one, part) => {
    let left = part * one.count, from = 0;
    for (const { to, count } of one.buckets) {
      if (count && left <= count)
        return to === Infinity ? from : from + ((to - from) * left) / count;
      left -= count;
      if (to !== Infinity) from = to;
    }
    return from;
  };

  const valueText = (name, value) => {
    if (name.endsWith("_seconds")) return value === 0 ? "0" : aglet.exact(value * 1e9);
    if (name.endsWith("_bytes")) return aglet.bytes(value);
    return value.toLocaleString("en", { maximumSignificantDigits: 3 });
  };

  // --- A card for each series. ---

  const chartOf = (name, one) => {
    const used = one.buckets.map((bucket) => bucket.count);
    const first = Math.max(0, used.findIndex((count) => count > 0) - 1);
    const last = Math.min(used.length - 1, used.findLastIndex((count) => count > 0) + 1);
    const shown = one.buckets.slice(first, Math.max(last, first + 5) + 1);
    const most = Math.max(1, ...shown.map((bucket) => bucket.count));
    const W = 480, H = 130, step = W / shown.length;
    const picture = aglet.svg("svg", { viewBox: `0 0 ${W} ${H + 22}`, class: "histogram",
      role: "img", "aria-label": `histogram of ${name}` });
    shown.forEach((bucket, i) => {
      const h = bucket.count ? Math.max(1.5, (H * bucket.count) / most) : 0;
      const from = i ? shown[i - 1].to : first ? one.buckets[first - 1].to : 0;
      const bar = aglet.svg("g", {}, aglet.svg("rect", { x: i * step, y: 0, width: step, height: H,
        class: "back" }), aglet.svg("rect", { x: i * step + 1, y: H - h, width: step - 2,
        height: h, class: "bar-of" }));
      const text = [`${aglet.number(bucket.count)}, ${aglet.percent(bucket.count, one.count)}`,
        bucket.to === Infinity ? `more than ${valueText(name, from)}`
          : `${valueText(name, from)} to ${valueText(name, bucket.to)}`];
      bar.addEventListener("mousemove", (event) => aglet.tip(text, event.clientX, event.clientY));
      bar.addEventListener("mouseleave", () => aglet.tip(null));
      picture.append(bar);
    });
    const every = Math.ceil(shown.length / 6);
    shown.forEach((bucket, i) => {
      if (i % every || bucket.to === Infinity || (i + 1) * step > W - 14) return;
      picture.append(aglet.svg("line", { x1: (i + 1) * step, x2: (i + 1) * step, y1: H,
        y2: H + 4 }), aglet.svg("text", { x: (i + 1) * step, y: H + 17,
        "text-anchor": "middle" }, valueText(name, bucket.to)));
    });
    picture.append(aglet.svg("line", { x1: 0, x2: W, y1: H, y2: H }));
    return picture;
  };

  const figure = (name, value) => aglet.make("div.figure", aglet.make("span", name),
    aglet.make("b", value));

  const fill = (card, name, family, labels, one) => {
    const text = (value) => (one.count > 0 ? valueText(name, value) : "–");
    card.replaceChildren(aglet.make("h3", name), aglet.make("p.note",
      [labels, family.help].filter(Boolean).join(" · ")),
    aglet.make("div.figures", figure("count", aglet.number(one.count)),
      figure("mean", text(one.sum / one.count)), figure("p50", text(quantile(one, 0.5))),
      figure("p90", text(quantile(one, 0.9))), figure("p99", text(quantile(one, 0.99)))),
    chartOf(name, one));
  };

  const draw = () => {
    if (!history.length) return;
    const now = history.at(-1).families, back = span === "all" ? 0 : Number(span);
    const before = back ? history[Math.max(0, history.length - 1 - back)].families : null;
    const seen = new Set();
    for (const [name, family] of now) {
      if (family.type !== "histogram") continue;
      for (const [labels, series] of family.series) {
        const key = `${name} ${labels}`;
        const one = since(series, before?.get(name)?.series.get(labels));
        seen.add(key);
        if (!cards.has(key)) cards.set(key, aglet.make("section.card"));
        fill(cards.get(key), name, family, labels, one);
      }
    }
    for (const key of cards.keys()) if (!seen.has(key)) cards.delete(key);
    const elements = [...cards.values()];
    if (elements.length !== charts.children.length
      || elements.some((card, i) => charts.children[i] !== card))
      charts.replaceChildren(...elements);
    line.textContent = elements.length ? aglet.count(elements.length, "histogram")
      : "the program has no histogram";
  };

  // --- Queues: the last two minutes, one look a second. ---

  const update = ({ procs }) => {
    if (!queues?.isConnected) return;
    const W = 240, H = 44;
    const rowsOf = [["global queue", (look) => look.procs.queued],
      ...procs.procs.map((p) => [`P ${p.index}`,
        (look) => look.procs.procs[p.index]?.queued || 0])];
    const most = Math.max(4, ...aglet.looks.flatMap((look) =>
      [look.procs.queued, ...look.procs.procs.map((p) => p.queued)]));
    queues.replaceChildren(...rowsOf.map(([name, of]) => {
      const values = aglet.looks.map(of), step = W / 119;
      const points = values.map((v, i) =>
        `${((120 - values.length + i) * step).toFixed(1)},${(H - (H * v) / most).toFixed(1)}`);
      const first = (120 - values.length) * step;
      return aglet.make("section.card.small", aglet.make("div.figures",
        figure(name, aglet.number(values.at(-1)))),
      aglet.svg("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", class: "queue",
        "aria-hidden": "true" },
      aglet.svg("polygon", { points: `${first},${H} ${points.join(" ")} ${W},${H}` })));
    }));
  };

  // --- Asking. ---

  const poll = async () => {
    if (!aglet.paused && !document.hidden) {
      try {
        const text = await aglet.ask("metrics");
        if (!charts.isConnected) return;
        history.push({ families: parse(text) });
        if (history.length > KEPT + 1) history.shift();
        draw();
      } catch (error) {
        line.textContent = `no answer: ${error.message}`;
      }
    }
    if (charts.isConnected) timer = setTimeout(poll, POLL_MS);
  };

  const show = (place) => {
    spans = aglet.choice("Time", [["all", "since the start"], ["60", "the last minute"],
      ["10", "the last 10 s"]], span, (value) => { span = value; draw(); });
    line = aglet.make("p.note.line", "asking…");
    charts = aglet.make("div.cards");
    queues = aglet.make("div.cards.narrow");
    cards = new Map();
    place.append(aglet.make("div.tools", spans), line, charts,
      aglet.make("h2", "Runnable goroutines in queues, the last two minutes"), queues);
    history = [];
    poll();
  };

  const hide = () => clearTimeout(timer);

  aglet.view({ id: "latency", title: "Latency", show, update, hide, redraw: draw });
  aglet.key("a", "since the start, or the last 10 s", () => {
    span = span === "all" ? "10" : "all";
    spans.value = span;
    draw();
  }, "latency");
})();
