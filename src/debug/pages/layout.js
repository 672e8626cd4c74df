// SPDX-License-Identifier: MIT
// Where the nodes of a directed graph are put: in columns from left to right, so that most arrows
// point to the right; connected parts below each other; the members of a circle in a ring.
//
// aglet.layout(nodes, arrows): nodes have w, h and perhaps ring (a number, 0: none) and first (a
// number: parts with lower ones come first); arrows are [from, to] as indices. Sets x and y, their
// left upper corners; returns {w, h}.
"use strict";

(() => {
  const GAP_X = 104, GAP_Y = 18, GAP_PART = 46;

  // A block is a node, or a ring of them, and is moved as a whole.
  const makeRing = (members) => {
    const w = Math.max(...members.map((node) => node.w));
    const h = Math.max(...members.map((node) => node.h));
    const n = members.length;
    const rx = n > 2 ? Math.max(w * 0.8, (n * w) / 7) : w * 0.55 + 40;
    const ry = n > 2 ? Math.max(h * 1.6, (n * (h + 34)) / 5) : h * 0.9;
    members.forEach((node, i) => {
      const angle = (2 * Math.PI * i) / n - Math.PI;
      node.inX = rx + rx * Math.cos(angle) + (w - node.w) / 2;
      node.inY = ry + ry * Math.sin(angle) + (h - node.h) / 2;
    });
    return { members, w: 2 * rx + w, h: 2 * ry + h };
  };

  // The members of a ring in the order of their arrows; at first, to the left, the one that most
  // arrows from outside point to.
  const inOrder = (members, next) => {
    const left = new Set(members), order = [], fans = new Map(members.map((node) => [node, 0]));
    for (const [from, list] of next)
      if (!left.has(from)) for (const to of list) if (left.has(to)) fans.set(to, fans.get(to) + 1);
    const most = members.reduce((a, b) => (fans.get(b) > fans.get(a) ? b : a));
    for (let node = most; node && left.has(node);) {
      order.push(node);
      left.delete(node);
      node = (next.get(node) || []).find((one) => left.has(one));
    }
    return order.concat([...left]);
  };

  const makeBlocks = (nodes, next) => {
    const rings = new Map(), blocks = [];
    for (const node of nodes) {
      if (!node.ring) {
        node.inX = node.inY = 0;
        blocks.push({ members: [node], w: node.w, h: node.h });
      } else {
        if (!rings.has(node.ring)) rings.set(node.ring, []);
        rings.get(node.ring).push(node);
      }
    }
    for (const members of rings.values()) blocks.push(makeRing(inOrder(members, next)));
    for (const block of blocks) {
      block.to = new Set();
      block.from = new Set();
      for (const node of block.members) node.block = block;
    }
    return blocks;
  };

  const partsOf = (blocks) => {
    const parts = [], seen = new Set();
    for (const first of blocks) {
      if (seen.has(first)) continue;
      const part = [], todo = [first];
      seen.add(first);
      while (todo.length) {
        const block = todo.pop();
        part.push(block);
        for (const other of [...block.to, ...block.from])
          if (!seen.has(other)) {
            seen.add(other);
            todo.push(other);
          }
      }
      parts.push(part);
    }
    return parts;
  };

  // Columns: one more than the last of those that point here; arrows that close a loop don't count.
  const setColumns = (part) => {
    const state = new Map(), order = [];
    const visit = (first) => {
      const stack = [[first, [...first.to]]];
      state.set(first, "open");
      while (stack.length) {
        const [block, rest] = stack.at(-1);
        const other = rest.pop();
        if (!other) {
          state.set(block, "done");
          order.push(block);
          stack.pop();
        } else if (!state.has(other)) {
          state.set(other, "open");
          stack.push([other, [...other.to]]);
        } else if (state.get(other) === "open") {
          block.to.delete(other);
          other.from.delete(block);
        }
      }
    };
    for (const block of [...part].sort((a, b) => a.from.size - b.from.size))
      if (!state.has(block)) visit(block);
    for (const block of order.reverse())
      block.column = Math.max(0, ...[...block.from].map((other) => other.column + 1));
    // Who has no arrow from the left moves right, next to whom it points to.
    for (const block of order.slice().reverse())
      if (!block.from.size && block.to.size)
        block.column = Math.min(...[...block.to].map((other) => other.column)) - 1;
  };

  const middle = (block) => block.y + block.h / 2;

  // Puts a column's blocks below each other, each as near as it can be to where it wants to be.
  const pack = (column) => {
    column.sort((a, b) => a.want - b.want);
    let end = -Infinity;
    for (const block of column) {
      block.y = Math.max(block.want - block.h / 2, end);
      end = block.y + block.h + GAP_Y;
    }
    const shift = column.reduce((sum, block) => sum + block.want - middle(block), 0)
      / column.length;
    for (const block of column) block.y += shift;
  };

  const place = (part) => {
    setColumns(part);
    const columns = [];
    for (const block of part) (columns[block.column] ||= []).push(block);
    let x = 0;
    for (const column of columns) {
      const width = Math.max(...column.map((block) => block.w));
      column.forEach((block, i) => {
        block.x = x + (width - block.w) / 2;
        block.want = i * (block.h + GAP_Y);
      });
      pack(column);
      x += width + GAP_X;
    }
    for (let round = 0; round < 12; round++) {
      const isForward = round % 2 === 0;
      for (const column of isForward ? columns : [...columns].reverse()) {
        for (const block of column) {
          const near = round > 7 ? [...block.from, ...block.to]
            : [...(isForward ? block.from : block.to)];
          block.want = near.length
            ? near.reduce((sum, other) => sum + middle(other), 0) / near.length : middle(block);
        }
        pack(column);
      }
    }
    const up = Math.min(...part.map((block) => block.y));
    for (const block of part) block.y -= up;
    return { w: x - GAP_X, h: Math.max(...part.map((block) => block.y + block.h)) };
  };

  aglet.layout = (nodes, arrows) => {
    const next = new Map();
    for (const [from, to] of arrows) {
      const list = next.get(nodes[from]) || [];
      list.push(nodes[to]);
      next.set(nodes[from], list);
    }
    const blocks = makeBlocks(nodes, next);
    for (const [from, to] of arrows) {
      const [a, b] = [nodes[from].block, nodes[to].block];
      if (a === b) continue;
      a.to.add(b);
      b.from.add(a);
    }
    const first = (part) =>
      Math.min(...part.flatMap((block) => block.members.map((node) => node.first || 0)));
    let y = 0, w = 0;
    for (const part of partsOf(blocks).sort((a, b) => first(a) - first(b))) {
      const size = place(part);
      for (const block of part)
        for (const node of block.members) {
          node.x = block.x + node.inX;
          node.y = y + block.y + node.inY;
        }
      y += size.h + GAP_PART;
      w = Math.max(w, size.w);
    }
    return { w, h: Math.max(0, y - GAP_PART) };
  };
})();
