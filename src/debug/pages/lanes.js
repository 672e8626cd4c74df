// SPDX-License-Identifier: MIT
// What the time line knows: slices of processors and threads, and marks, from the answers of the
// flight recorder. Each answer has the whole of the time since it was asked for, so that takes the
// place of what was known of it. Times are nanoseconds of the program's clock.
//
// A slice: {from, to, id, name, file, steps, end, open}; a mark: {at, word, number, id}. Regions of
// the program are slices, too, {from, to, id, name, task, open}, in rows in which none covers
// another; those for which there is no row are counted.
"use strict";

aglet.Lanes = class {
  constructor() {
    this.procs = new Map();   // number -> slices, in the order of their ends
    this.threads = new Map();
    this.regions = Array.from({ length: aglet.Lanes.REGION_ROWS }, () => []);
    this.rowless = 0;
    this.marks = [];
    this.first = Infinity;
    this.now = 0;
    this.cut = false;
  }

  static KEPT_NS = 120e9;
  static KEPT = 400000;
  static REGION_ROWS = 12;

  add(answer, since) {
    for (const lanes of [this.procs, this.threads])
      for (const [key, slices] of lanes)
        lanes.set(key, slices.filter((one) => !one.open && one.to < since));
    this.marks = this.marks.filter((one) => one.at < since);
    const { base, sites, words, names } = answer;
    const found = [];
    for (const [kind, lane, from, b, c, d, e] of answer.lanes) {
      if (kind === 3) {
        found.push({ from: base + from, to: base + from + b, id: c, task: d, name: names[e],
          open: lane < 0 });
        continue;
      }
      if (kind === 1) {
        this.marks.push({ at: base + from, lane, word: words[b], number: c, id: d });
        this.first = Math.min(this.first, base + from);
        continue;
      }
      const lanes = kind === 0 ? this.procs : this.threads;
      if (!lanes.has(lane)) lanes.set(lane, []);
      const site = d > 0 ? sites[d - 1] : null;
      lanes.get(lane).push({ from: base + from, to: base + from + b, id: c,
        name: d < 0 ? "goroutines in turn" : site ? site[0] : "?",
        file: site ? `${site[1]}:${site[2]}` : "", steps: d < 0 ? -d : 0,
        end: e < 0 ? "" : words[e], open: e < 0 });
      this.first = Math.min(this.first, base + from);
    }
    this.addRegions(found, since);
    this.now = Math.max(this.now, answer.now);
    this.cut = answer.cut;
    this.forget();
  }

  // Each to the first row with room. Who has a row keeps it.
  addRegions(found, since) {
    const before = new Map();
    this.regions = this.regions.map((row, i) => row.filter((one) => {
      const stays = !one.open && one.to < since;
      if (!stays) before.set(`${one.id} ${one.from} ${one.name}`, i);
      return stays;
    }));
    this.rowless = 0;
    const isFree = (row, one) => {
      for (let i = row.length - 1; i >= 0 && (row[i].open || row[i].to > one.from); i--)
        if (row[i].open || row[i].from < one.to) return false;
      return true;
    };
    const place = (one, row) => {
      row.push(one);
      row.sort((a, b) => a.to - b.to);
      this.first = Math.min(this.first, one.from);
    };
    const fresh = found.filter((one) => {
      const row = before.get(`${one.id} ${one.from} ${one.name}`);
      if (row !== undefined) place(one, this.regions[row]);
      return row === undefined;
    });
    for (const one of fresh.sort((a, b) => a.from - b.from || b.to - a.to)) {
      const row = this.regions.find((slices) => isFree(slices, one));
      if (row) place(one, row);
      else this.rowless++;
    }
  }

  // The oldest, where there is too much.
  forget() {
    let count = this.marks.length;
    for (const row of this.regions) count += row.length;
    for (const lanes of [this.procs, this.threads])
      for (const slices of lanes.values()) {
        slices.sort((a, b) => a.to - b.to);
        count += slices.length;
      }
    this.marks.sort((a, b) => a.at - b.at);
    const kept = count > aglet.Lanes.KEPT ? (this.now - this.first) / 2 : aglet.Lanes.KEPT_NS;
    const until = this.now - kept;
    if (until <= this.first) return;
    for (const lanes of [this.procs, this.threads])
      for (const [key, slices] of lanes) lanes.set(key, slices.filter((one) => one.to >= until));
    for (const [key, slices] of this.threads) if (!slices.length) this.threads.delete(key);
    this.marks = this.marks.filter((one) => one.at >= until);
    this.regions = this.regions.map((row) => row.filter((one) => one.to >= until));
    this.first = until;
  }

  // The slices that reach into [from, to]. They follow each other, so their beginnings are in
  // order, too.
  static within(slices, from, to) {
    let lo = 0, hi = slices.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (slices[mid].to < from) lo = mid + 1;
      else hi = mid;
    }
    const found = [];
    for (; lo < slices.length && slices[lo].from <= to; lo++) found.push(slices[lo]);
    return found;
  }

  // For each function how long it ran in [from, to], and all together, by processor.
  sums(from, to) {
    const byName = new Map(), byProc = new Map();
    for (const [lane, slices] of this.procs) {
      let busy = 0;
      for (const one of aglet.Lanes.within(slices, from, to)) {
        const length = Math.min(one.to, to) - Math.max(one.from, from);
        const sum = byName.get(one.name) || { ns: 0, runs: 0, file: one.file };
        busy += length;
        sum.ns += length;
        sum.runs += one.steps || 1;
        byName.set(one.name, sum);
      }
      byProc.set(lane, busy);
    }
    return { byName, byProc };
  }
};
