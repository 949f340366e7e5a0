"use strict";

// Only one view is in the page at a time: the slider builds the table of another one.
(() => {
  const { bytes, number, onKeyboard, onPointer } = elucid;
  const data = elucid.data();
  const views = data.views.map((view) => ({ ...view, factors: bytes(view.factors) }));
  const controls = document.getElementById("controls");
  const output = controls.querySelector("output");
  const [photoPanel, groupPanel] = document.querySelectorAll(".panel");
  const shade = document.querySelector(".shade");
  const map = document.querySelector(".groups");
  const which = document.querySelector(".which");
  const container = document.querySelector(".scroll");
  const announcement = document.getElementById("announcement");
  const key = document.querySelector(".key");
  const state = { view: Number(controls.view?.value ?? 0), hovered: null, keyed: null, pinned: null };
  const view = () => views[state.view];
  const chosen = () => state.pinned ?? state.hovered ?? state.keyed;
  const name = (group) => `Group ${group + 1}`;
  let rows = [];

  photoPanel.querySelector(".photo").src = data.photo;

  // Pictures

  // The two cells that a place from 0 to 1 lies between, and how far towards the second: cells are
  // aligned by their edges, as everywhere in Elucid.
  const tap = (place, cells) => {
    if (!controls.smooth.checked) {
      const cell = Math.min(Math.floor(place * cells), cells - 1);
      return [cell, cell, 0];
    }
    const at = Math.min(Math.max(place * cells - 0.5, 0), cells - 1);
    const first = Math.floor(at);
    return [first, Math.min(first + 1, cells - 1), at - first];
  };

  const value = ({ factors, rows, columns }, group, [top, bottom, down], [left, right, across]) => {
    const at = (row, column) => factors[(group * rows + row) * columns + column];
    const mix = (a, b, share) => a + share * (b - a);
    return mix(mix(at(top, left), at(top, right), across), mix(at(bottom, left), at(bottom, right), across), down);
  };

  const paint = (canvas, color) => {
    const aspect = photoPanel.clientHeight / Math.max(1, photoPanel.clientWidth);
    const width = 320;
    // However tall the photograph is, a canvas has its limits.
    const height = Math.min(Math.max(1, Math.round(width * (aspect || 1))), 4 * width);
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    const columns = Array.from({ length: width }, (_, x) => tap((x + 0.5) / width, view().columns));
    for (let y = 0; y < height; y++) {
      const row = tap((y + 0.5) / height, view().rows);
      for (let x = 0; x < width; x++) picture.data.set([...color(row, columns[x]), 255], 4 * (y * width + x));
    }
    context.putImageData(picture, 0, 0);
  };

  const drawPictures = () => {
    const group = chosen();
    const { colors, groups } = view();
    shade.hidden = group === null;
    if (group !== null) {
      paint(shade, (row, column) => {
        const level = value(view(), group, row, column);
        return [level, level, level];
      });
    }
    const shown = group === null ? Array.from({ length: groups }, (_, i) => i) : [group];
    paint(map, (row, column) => {
      const color = [0, 0, 0];
      for (const i of shown) {
        const level = value(view(), i, row, column) / 255;
        for (let c = 0; c < 3; c++) color[c] = Math.max(color[c], level * colors[i][c]);
      }
      return color;
    });
    which.textContent = group === null ? "Where the groups are active" : `Where group ${group + 1} is active`;
    map.setAttribute("aria-label", which.textContent);
  };

  const draw = () => {
    const group = chosen();
    drawPictures();
    rows.forEach(({ element, button }, i) => {
      element.classList.toggle("chosen", i === group);
      button.setAttribute("aria-pressed", i === state.pinned);
    });
    container.classList.toggle("any-chosen", group !== null);
    const { targets, attributions } = view();
    const effects = group === null || attributions.length === 0 ? [] : targets.map((target, t) => `${target} ${number(attributions[group][t])}`);
    announcement.textContent = group === null ? "" : [name(group), ...effects].join(", ") + (state.pinned === group ? ", kept" : "");
  };

  // Choosing

  const pointAt = (group) => {
    if (group === state.hovered) return;
    state.hovered = group;
    draw();
  };
  const keyAt = (group) => {
    state.hovered = null;
    state.keyed = group;
    draw();
  };
  const unkey = () => {
    state.keyed = null;
    draw();
  };
  const pin = (group) => {
    state.pinned = group === state.pinned ? null : group;
    draw();
  };
  const release = () => {
    Object.assign(state, { hovered: null, keyed: null, pinned: null });
    draw();
  };

  const groupAt = (panel, event) => {
    const box = panel.getBoundingClientRect();
    const along = (at, start, length) => Math.min(Math.max((at - start) / length, 0), 1 - 1e-9);
    const row = tap(along(event.clientY, box.top, box.height), view().rows);
    const column = tap(along(event.clientX, box.left, box.width), view().columns);
    const levels = Array.from({ length: view().groups }, (_, group) => value(view(), group, row, column));
    const best = levels.reduce((best, level, i) => (level > levels[best] ? i : best), 0);
    // Where no group is seen, none is meant.
    return levels[best] > 25 ? best : null;
  };
  for (const panel of [photoPanel, groupPanel]) {
    panel.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") pointAt(groupAt(panel, event));
    });
    panel.addEventListener("pointerleave", () => pointAt(null));
    panel.addEventListener("click", (event) => {
      const group = groupAt(panel, event);
      if (group === null) release();
      else pin(group);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") release();
  });

  // The table

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const icon = (group) => {
    const { colors, icons } = view();
    const button = element("button", "icon");
    button.type = "button";
    button.setAttribute("aria-label", name(group));
    button.style.setProperty("--hue", `rgb(${colors[group].join(" ")})`);
    if (icons.length > 0) {
      const picture = element("img");
      picture.src = icons[group];
      picture.alt = "";
      picture.draggable = false;
      button.append(picture);
    } else {
      button.append(element("span", "", group + 1));
    }
    onKeyboard(button, () => keyAt(group), unkey);
    return button;
  };

  const selects = (made, group) => {
    onPointer(made, () => pointAt(group), () => pointAt(null));
    made.addEventListener("click", () => pin(group));
  };

  const cells = (values, largest) =>
    values.map((value) => {
      const cell = element("div", "cell");
      const edge = element("span", `edge ${value > 0 ? "plus" : value < 0 ? "minus" : "none"}`);
      if (largest === null) edge.className = "edge none";
      else edge.style.setProperty("--size", largest > 0 ? (Math.abs(value) / largest).toFixed(4) : 0);
      cell.append(edge, element("span", "value", number(value)));
      const made = element("td");
      made.append(cell);
      return made;
    });

  const build = () => {
    const { groups, targets, attributions, mean, residual, total, error } = view();
    output.textContent = view().name;
    if (controls.view) controls.view.setAttribute("aria-valuetext", view().name);
    const statement = document.querySelector(".error");
    statement.hidden = error === null;
    if (error !== null) {
      const share = element("strong", "", `${(100 * error).toPrecision(3)} %`);
      statement.replaceChildren(`What the groups rebuild differs from the activations of ${data.layer} by `, share, " of their size.");
    }

    rows = [];
    const hasTable = attributions.length > 0 && targets.length > 0;
    if (key) key.hidden = !hasTable;
    if (!hasTable) {
      const legend = element("div", "legend-only");
      for (let group = 0; group < groups; group++) {
        const button = icon(group);
        selects(button, group);
        rows.push({ element: button, button });
        legend.append(button);
      }
      container.replaceChildren(legend);
      draw();
      return;
    }

    const extra = [["Mean part", mean], ["Left out", residual]].filter(([, values]) => values);
    const sizes = [...attributions, ...extra.map(([, values]) => values)].flat();
    const largest = sizes.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const widest = [...sizes, ...total].reduce((most, value) => Math.max(most, number(value).length), 0);

    const table = element("table");
    table.style.setProperty("--targets", targets.length);
    table.style.setProperty("--digits", widest);
    const head = element("tr");
    head.append(element("th", "", "Group"), ...targets.map((target) => element("th", "", target)));
    for (const th of head.children) th.scope = "col";
    const body = element("tbody");
    for (let group = 0; group < groups; group++) {
      const row = element("tr", "group");
      const heading = element("th");
      heading.scope = "row";
      const button = icon(group);
      heading.append(button);
      row.append(heading, ...cells(attributions[group], largest));
      selects(row, group);
      rows.push({ element: row, button });
      body.append(row);
    }
    const line = (className, label, values, scale) => {
      const row = element("tr", className);
      const heading = element("th", "", label);
      heading.scope = "row";
      row.append(heading, ...cells(values, scale));
      body.append(row);
    };
    extra.forEach(([label, values], i) => line(i === 0 ? "rest first-rest" : "rest", label, values, largest));
    line("rest total", extra.length > 0 ? "Total" : "All groups", total, null);
    const top = element("thead");
    top.append(head);
    const caption = element("caption", "visually-hidden", "What each group contributes to each target");
    table.append(caption, top, body);
    container.replaceChildren(table);
    document.querySelector(".widest").textContent = `widest edge: ${number(largest).replace("+", "")}`;
    draw();
  };

  controls.addEventListener("input", (event) => {
    if (event.target === controls.view) {
      Object.assign(state, { view: Number(controls.view.value), hovered: null, keyed: null, pinned: null });
      build();
    } else {
      draw();
    }
  });
  controls.addEventListener("submit", (event) => event.preventDefault());
  build();
})();
