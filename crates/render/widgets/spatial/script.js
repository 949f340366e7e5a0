"use strict";

// Sides: 0 is the shallow layer on the left, 1 the deep layer on the right.
// A cell is { side, index, view }: its layer, its position in row order, and the view it was
// chosen in, which only decides whose values are read out.
(() => {
  const { bytes, int16, number, onKeyboard, paint } = elucid;
  const data = elucid.data();
  const [FROM, TO] = [0, 1];
  const colors = bytes(data.colors);
  const cells = data.sides.map((side) => side.rows * side.columns);

  const largestAbsolute = (values) => values.reduce((largest, v) => Math.max(largest, Math.abs(v)), 0);

  const views = [...document.querySelectorAll(".view")].map((element, i) => {
    const { name, scales, maps, hints } = data.views[i];
    return {
      element,
      name,
      scales,
      maps: int16(maps),
      largest: largestAbsolute(scales),
      hints: hints && hints.map((hint) => ({ colors: bytes(hint.colors), values: hint.values })),
      panels: [...element.querySelectorAll(".panel")],
      readout: element.querySelector(".readout"),
      arrow: element.querySelector(".arrow"),
      ticks: ["low", "zero", "high"].map((tick) => element.querySelector(`.${tick}`)),
    };
  });
  const status = document.querySelector(".status");
  const announcement = document.getElementById("announcement");
  const controls = document.getElementById("controls");

  const centre = ({ rows, columns }) => ((rows - 1) >> 1) * columns + ((columns - 1) >> 1);
  const state = {
    hovered: null,
    // Where the keyboard is, if it is on a panel.
    keyed: null,
    pinned: null,
    // A cell of the other side that is only read, while one is pinned.
    probed: null,
    cursors: data.sides.map(centre),
  };
  const chosen = () => state.pinned ?? state.hovered ?? state.keyed;

  const value = (view, to, from) => (view.maps[to * cells[FROM] + from] * view.scales[to]) / data.steps;

  // What a cell came from, or what it contributes to: one value per cell of the other side.
  const opposite = (view, { side, index }) =>
    Float64Array.from({ length: cells[1 - side] }, (_, other) =>
      side === TO ? value(view, index, other) : value(view, other, index),
    );

  const same = (a, b) => a && b && a.side === b.side && a.index === b.index;

  const place = ({ side, index }) => {
    const { columns } = data.sides[side];
    return `row ${Math.floor(index / columns) + 1}, column ${(index % columns) + 1}`;
  };

  // Drawing

  // The table's middle is zero. Negative values that are not wanted count as zero.
  const signedColor = (share) => {
    const kept = controls.negatives.checked ? share : Math.max(share, 0);
    return [colors, 3 * Math.round(255 + 255 * Math.min(Math.max(kept, -1), 1))];
  };

  const drawMap = (view, side, values, limit) =>
    paint(view.panels[side].querySelector(".map"), (i) => signedColor(limit > 0 ? values[i] / limit : 0));

  const drawIdle = (view, side) => {
    const canvas = view.panels[side].querySelector(".map");
    if (view.hints) paint(canvas, (i) => [view.hints[side].colors, 3 * i]);
    else canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  };

  const outline = (element, cell, side) => {
    element.hidden = !(cell && cell.side === side);
    if (element.hidden) return;
    const { rows, columns } = data.sides[side];
    element.style.left = `${(100 * (cell.index % columns)) / columns}%`;
    element.style.top = `${(100 * Math.floor(cell.index / columns)) / rows}%`;
    element.style.width = `${100 / columns}%`;
    element.style.height = `${100 / rows}%`;
  };

  const facts = (list, rows) =>
    list.replaceChildren(
      ...rows.map(([name, text, kind]) => {
        const row = document.createElement("div");
        const term = document.createElement("dt");
        const detail = document.createElement("dd");
        term.textContent = name;
        detail.textContent = text;
        if (kind) term.className = kind;
        row.append(term, detail);
        return row;
      }),
    );

  // The other side's strongest cell among the values that are drawn.
  const strongest = (values, side) => {
    const shown = values.map((v) => (controls.negatives.checked ? Math.abs(v) : v));
    const index = shown.reduce((best, v, i) => (v > shown[best] ? i : best), 0);
    return shown[index] > 0 ? { side, index, value: values[index] } : null;
  };

  const drawView = (view, cell) => {
    const values = cell && opposite(view, cell);
    const limit = cell && controls.scale.value === "cell" ? largestAbsolute(values) : view.largest;
    for (const side of [FROM, TO]) {
      if (cell && side !== cell.side) drawMap(view, side, values, limit);
      else drawIdle(view, side);
      outline(view.panels[side].querySelector(".cell"), cell, side);
      outline(view.panels[side].querySelector(".probe"), state.probed, side);
    }
    const ticks = controls.negatives.checked ? [number(-limit), "0", number(limit)] : ["0", "", number(limit)];
    view.ticks.forEach((tick, i) => (tick.textContent = ticks[i]));
    view.arrow.textContent = cell ? (cell.side === TO ? "\u2190" : "\u2192") : "";
    view.element.classList.toggle("kept", state.pinned !== null);

    if (!cell) {
      facts(view.readout, []);
      return;
    }
    const rows = [];
    const peak = strongest(values, 1 - cell.side);
    const role = cell.side === TO ? "Strongest source" : "Strongest effect";
    rows.push([peak ? `${role}, ${place(peak)}` : "Nothing: all values are 0", peak ? number(peak.value) : ""]);
    if (state.probed) rows.push([`Pointed at, ${place(state.probed)}`, number(values[state.probed.index])]);
    if (view.hints) {
      data.classes.forEach((label, k) => {
        rows.push([`For ${label}`, number(view.hints[cell.side].values[k][cell.index]), `class-${"ab"[k]}`]);
      });
    }
    facts(view.readout, rows);
  };

  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  const located = (cell) => `${place(cell)} of ${data.sides[cell.side].layer}`;

  // One short line for the eye: a longer one would move the pictures under the pointer.
  const summary = (cell) => {
    if (!cell) return "Choose a cell: point, tap, or use the arrow keys.";
    return `${capital(located(cell))}${state.pinned ? " \u00b7 kept" : ""}`;
  };

  // The whole finding for the ear.
  const spoken = (cell) => {
    if (!cell) return "";
    const view = views[cell.view];
    const values = opposite(view, cell);
    if (state.probed) {
      return `${capital(located(state.probed))}: ${number(values[state.probed.index])} for ${located(cell)}, ${view.name}.`;
    }
    const peak = strongest(values, 1 - cell.side);
    const role = cell.side === TO ? "strongest source" : "strongest effect";
    const found = peak ? `${role} ${located(peak)}, ${number(peak.value)}` : "all values are 0";
    return `${capital(located(cell))}: ${found}, ${view.name}.${state.pinned ? " Kept." : ""}`;
  };

  const draw = () => {
    const cell = chosen();
    for (const view of views) drawView(view, cell);
    status.textContent = summary(cell);
    announcement.textContent = spoken(cell);
  };

  // Choosing

  const pointAt = (cell) => {
    const before = state.hovered;
    if (cell?.index === before?.index && cell?.side === before?.side && cell?.view === before?.view) return;
    state.hovered = cell;
    state.probed = state.pinned && cell && cell.side !== state.pinned.side ? cell : null;
    draw();
  };

  const pin = (cell) => {
    state.pinned = same(cell, state.pinned) ? null : cell;
    state.probed = null;
    draw();
  };

  const release = () => {
    Object.assign(state, { hovered: null, keyed: null, pinned: null, probed: null });
    draw();
  };

  const moveTo = (cell) => {
    state.hovered = null;
    state.keyed = cell;
    if (state.pinned?.side === cell.side) state.pinned = cell;
    else if (state.pinned) state.probed = cell;
    draw();
  };

  const step = (side, event) => {
    const { rows, columns } = data.sides[side];
    const place = state.cursors[side];
    return elucid.moved(event, [Math.floor(place / columns), place % columns], [rows, columns]);
  };

  views.forEach((view, number) =>
    view.panels.forEach((panel, side) => {
      const { rows, columns } = data.sides[side];
      panel.querySelector(".photo").src = data.photo;

      const cellAt = (event) => {
        const box = panel.getBoundingClientRect();
        const along = (at, start, length, count) =>
          Math.min(Math.max(Math.floor(((at - start) / length) * count), 0), count - 1);
        const row = along(event.clientY, box.top, box.height, rows);
        const index = row * columns + along(event.clientX, box.left, box.width, columns);
        state.cursors[side] = index;
        return { side, index, view: number };
      };

      panel.addEventListener("pointerdown", (event) => pointAt(cellAt(event)));
      panel.addEventListener("pointermove", (event) => pointAt(cellAt(event)));
      panel.addEventListener("pointerleave", () => pointAt(null));
      panel.addEventListener("pointercancel", () => pointAt(null));
      panel.addEventListener("click", (event) => pin(cellAt(event)));

      const leave = () => {
        state.keyed = null;
        state.probed = null;
        draw();
      };
      onKeyboard(panel, () => moveTo({ side, index: state.cursors[side], view: number }), leave);
      panel.addEventListener("keydown", (event) => {
        if (event.altKey || event.metaKey) return;
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          pin({ side, index: state.cursors[side], view: number });
          return;
        }
        const index = step(side, event);
        if (index === null) return;
        event.preventDefault();
        state.cursors[side] = index;
        moveTo({ side, index, view: number });
      });
    }),
  );

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") release();
  });

  // Drawing options

  const drawRamps = () => {
    for (const view of views) {
      paint(view.element.querySelector(".ramp"), (i) =>
        signedColor(controls.negatives.checked ? i / 255 - 1 : i / 510),
      );
    }
  };
  controls.addEventListener("input", () => {
    document.documentElement.style.setProperty("--opacity", controls.opacity.value);
    controls.opacity.setAttribute("aria-valuetext", `${Math.round(100 * controls.opacity.value)} %`);
    drawRamps();
    draw();
  });
  controls.addEventListener("submit", (event) => event.preventDefault());

  drawRamps();
  draw();
})();
