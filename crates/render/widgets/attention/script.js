"use strict";

// Tokens are numbered as the network has them: first those that are no patches, then the patches row
// by row. A matrix is a function of who attends (from) and what is attended to (to).
(() => {
  const { bytes, int16, number, onKeyboard, onPointer, paint } = elucid;
  const data = elucid.data();
  const { rows, columns, prefix, classes } = data;
  const patches = rows * columns;
  const tokens = prefix.length + patches;
  // Where no token stands for the whole picture, all patches together do.
  const ALL = prefix.length ? null : tokens;
  const MEAN = -1;
  const [ROW, COLUMN] = [0, 1];
  const colors = { signed: bytes(data.glow), plain: bytes(data.inferno) };

  const unpack = ({ scales, values }) => ({ scales, values: int16(values) });
  const blocks = data.blocks.map((block) => ({ ...block, weights: unpack(block.weights) }));
  const methods = data.methods.map((method) => ({ ...method, values: unpack(method.values) }));

  const controls = document.getElementById("controls");
  const picker = document.getElementById("picker");
  const status = document.querySelector(".status");
  const announcement = document.getElementById("announcement");
  const table = document.querySelector(".numbers tbody");
  const which = document.querySelector(".which");
  const tokenButtons = [...document.querySelectorAll(".token")];
  const figures = [...document.querySelectorAll(".picture")];
  const names = figures.map((figure) => figure.querySelector("h3").textContent);

  const centre = prefix.length + ((rows - 1) >> 1) * columns + ((columns - 1) >> 1);
  const state = {
    // The first token is the one that most networks read their classes from.
    chosen: ALL ?? 0,
    kept: false,
    // A patch that is only read, and whether the keyboard did it.
    probed: null,
    keyed: false,
    // Where the keyboard is in the photograph.
    cursor: centre,
  };

  const isPatch = (token) => token >= prefix.length && token < tokens;
  const named = (token) => {
    if (token === ALL) return "all patches together";
    if (!isPatch(token)) return prefix[token];
    const patch = token - prefix.length;
    return `row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}`;
  };
  const capital = (text) => (text ? text[0].toUpperCase() + text.slice(1) : text);

  // Values

  const at = ({ scales, values }, row, length, column) =>
    (values[row * length + column] * scales[row]) / data.steps;

  const weight = ({ heads, weights }, head, from, to) => {
    if (head !== MEAN) return at(weights, head * tokens + from, tokens, to);
    let sum = 0;
    for (let h = 0; h < heads; h++) sum += at(weights, h * tokens + from, tokens, to);
    return sum / heads;
  };

  // A row or a column; of all patches together, the mean of theirs.
  const line = (matrix, axis, token) => {
    const one = (which) =>
      Float64Array.from({ length: tokens }, (_, other) =>
        axis === ROW ? matrix(which, other) : matrix(other, which),
      );
    if (token !== ALL) return one(token);
    const sum = new Float64Array(tokens);
    for (let i = 0; i < tokens; i++) one(i).forEach((value, j) => (sum[j] += value / tokens));
    return sum;
  };

  const remembered = (make) => {
    const known = new Map();
    return (...key) => {
      const name = key.join();
      if (!known.has(name)) known.set(name, make(...key));
      return known.get(name);
    };
  };

  // The largest absolute value at a patch, or at one token's patches without its own.
  const largest = (values, without = null) => {
    let most = 0;
    for (let i = prefix.length; i < tokens; i++) if (i !== without) most = Math.max(most, Math.abs(values[i]));
    return most;
  };
  const largestOfBlock = remembered((b, head) => {
    let most = 0;
    for (let i = 0; i < tokens; i++) most = Math.max(most, largest(blockLine(b, head, ROW, i)));
    return most;
  });
  const largestOfMethod = remembered((m, k) => {
    let most = 0;
    for (let i = 0; i < tokens; i++) most = Math.max(most, largest(methodLine(m, k, i), i));
    return most;
  });
  const blockLine = (b, head, axis, token) =>
    line((from, to) => weight(blocks[b], head, from, to), axis, token);
  // Sums over all tokens are long: they are made once.
  const blockTogether = remembered((b, head, axis) => blockLine(b, head, axis, ALL));

  // The same for every token where a method has one map.
  const methodLine = (m, k, token) => {
    const { values, rows: byToken } = methods[m];
    if (byToken) return line((from, to) => at(values, k * tokens + from, tokens, to), ROW, token);
    return Float64Array.from({ length: tokens }, (_, i) => {
      const patch = i - prefix.length;
      if (patch < 0) return NaN;
      return at(values, k * rows + Math.floor(patch / columns), columns, patch % columns);
    });
  };

  const chosenBlock = () => Number(controls.block.value);
  const chosenHead = () => Number(controls.head.value);
  const chosenClass = () => Number(controls.class?.value ?? 0);

  // What a figure shows: a value for each token, and the largest of its scale.
  const shown = (figure) => {
    const oneForAll = controls.scale.value === "all";
    if (figure < 2) {
      const [b, head] = [chosenBlock(), chosenHead()];
      const values =
        state.chosen === ALL ? blockTogether(b, head, figure) : blockLine(b, head, figure, state.chosen);
      return { values, signed: false, own: null, limit: oneForAll ? largestOfBlock(b, head) : largest(values) };
    }
    const m = figure - 2;
    const { by_class: byClass, rows: byToken, signed } = methods[m];
    const k = byClass ? chosenClass() : 0;
    const values = methodLine(m, k, state.chosen);
    const own = byToken ? state.chosen : null;
    return { values, signed, own, limit: oneForAll && byToken ? largestOfMethod(m, k) : largest(values, own) };
  };

  // Drawing

  const color = (signed, share) => {
    if (signed) return [colors.signed, 3 * Math.round(255 + 255 * Math.min(Math.max(share, -1), 1))];
    return [colors.plain, 3 * Math.round(255 * Math.min(Math.max(share, 0), 1))];
  };

  const drawMap = (canvas, { values, signed, limit }) =>
    paint(canvas, (patch) => color(signed, limit > 0 ? values[prefix.length + patch] / limit : 0));

  const outline = (element, token) => {
    element.hidden = token === null || !isPatch(token);
    if (element.hidden) return;
    const patch = token - prefix.length;
    element.style.left = `${(100 * (patch % columns)) / columns}%`;
    element.style.top = `${(100 * Math.floor(patch / columns)) / rows}%`;
    element.style.width = `${100 / columns}%`;
    element.style.height = `${100 / rows}%`;
  };

  const element = (tag, text = "", kind = "") => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };

  // Signs are only for what may be negative.
  const worded = (value, signed) => (signed ? number(value) : number(value).replace("+", ""));

  // The patch with the largest value, as the scale counts it.
  const strongest = ({ values, own }) => {
    let best = null;
    for (let i = prefix.length; i < tokens; i++) {
      if (i !== own && Math.abs(values[i]) > Math.abs(values[best] ?? 0)) best = i;
    }
    return best;
  };

  // Tokens that are no patches, in the colours of the map.
  const drawOthers = (list, { values, signed, limit }) =>
    list.replaceChildren(
      ...prefix.flatMap((name, token) => {
        if (Number.isNaN(values[token])) return [];
        const item = element("li");
        const [source, place] = color(signed, limit > 0 ? values[token] / limit : 0);
        const swatch = element("span", "", "swatch");
        swatch.style.background = `rgb(${source.subarray(place, place + 3).join(" ")})`;
        item.append(swatch, element("span", name), element("span", worded(values[token], signed), "value"));
        return [item];
      }),
    );

  const drawFigure = (figure, drawn) => {
    drawMap(figure.querySelector(".map"), drawn);
    paint(figure.querySelector(".ramp"), (i) => color(drawn.signed, drawn.signed ? i / 255 - 1 : i / 510));
    figure.querySelector(".low").textContent = drawn.signed ? number(-drawn.limit) : "0";
    figure.querySelector(".high").textContent = worded(drawn.limit, drawn.signed);
    drawOthers(figure.querySelector(".others"), drawn);
    outline(figure.querySelector(".cell"), state.chosen);
    outline(figure.querySelector(".probe"), state.probed);
  };

  const cells = (drawn) => {
    const { values, signed } = drawn;
    const value = (token) => (Number.isNaN(values[token]) ? "\u2013" : worded(values[token], signed));
    const best = strongest(drawn);
    let sum = 0;
    for (let i = prefix.length; i < tokens; i++) sum += values[i];
    return [
      best === null ? "none: all are 0" : named(best),
      best === null ? "0" : value(best),
      worded(sum, signed),
      ...prefix.map((_, token) => value(token)),
      state.probed === null ? "\u2013" : value(state.probed),
    ];
  };

  const drawTable = (drawn) =>
    table.replaceChildren(
      ...drawn.map((figure, index) => {
        const row = element("tr");
        const name = element("th", names[index]);
        name.scope = "row";
        row.append(name, ...cells(figure).map((text) => element("td", text)));
        return row;
      }),
    );

  const headName = (head) => (head === MEAN ? "mean of heads" : `head ${head}`);

  // Choosing a head or a block is choosing its small picture.
  const thumbnails = (strip, control, entries) => {
    const box = strip.querySelector(".thumbnails");
    if (box.children.length !== entries.length) {
      box.replaceChildren(
        ...entries.map(({ value }) => {
          const label = element("label");
          const radio = Object.assign(element("input"), { type: "radio", name: strip.id, value });
          const canvas = Object.assign(element("canvas"), { width: columns, height: rows });
          radio.addEventListener("change", () => {
            controls[control].value = radio.value;
            controls.dispatchEvent(new Event("input"));
          });
          label.append(radio, canvas, element("span"));
          return label;
        }),
      );
    }
    entries.forEach(({ value, name, values }, i) => {
      const label = box.children[i];
      label.querySelector("input").checked = controls[control].value === String(value);
      label.querySelector("span").textContent = name;
      drawMap(label.querySelector("canvas"), { values, signed: false, limit: largest(values) });
    });
  };

  const rowOf = (b, head) =>
    state.chosen === ALL ? blockTogether(b, head, ROW) : blockLine(b, head, ROW, state.chosen);

  const drawThumbnails = () => {
    const b = chosenBlock();
    const heads = [...controls.head.options].map(({ value }) => Number(value));
    document.getElementById("heads").hidden = heads.length < 2;
    thumbnails(
      document.getElementById("heads"),
      "head",
      heads.map((head) => ({ value: head, name: head === MEAN ? "mean" : `${head}`, values: rowOf(b, head) })),
    );
    const head = chosenHead();
    document.getElementById("blocks").hidden = blocks.length < 2;
    thumbnails(
      document.getElementById("blocks"),
      "block",
      blocks.map(({ heads, number }, i) => ({ value: i, name: `${number}`, values: rowOf(i, head < heads ? head : MEAN) })),
    );
  };

  const place = () => `${blocks[chosenBlock()].name}, ${headName(chosenHead())}`;

  const summary = () => {
    const kept = state.kept ? " \u00b7 kept" : "";
    const read = state.probed === null ? "" : ` \u00b7 pointed at: ${named(state.probed)}`;
    return `${capital(named(state.chosen))}${kept}${read}`;
  };

  const spoken = (drawn) => {
    if (state.probed !== null) {
      const values = drawn.flatMap(({ values, signed }, i) => {
        const value = values[state.probed];
        return Number.isNaN(value) ? [] : [`${names[i]} ${worded(value, signed)}`];
      });
      return `${capital(named(state.probed))}, read for ${named(state.chosen)}: ${values.join("; ")}.`;
    }
    const peaks = drawn.map((figure, i) => {
      const best = strongest(figure);
      return `${names[i]}: ${best === null ? "nothing" : `${named(best)}, ${worded(figure.values[best], figure.signed)}`}`;
    });
    return `${capital(named(state.chosen))} in ${place()}.${state.kept ? " Kept." : ""} ${peaks.join("; ")}.`;
  };

  // A moving pointer would have a reader speak without end.
  let waiting = 0;
  const announce = (drawn) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => (announcement.textContent = spoken(drawn)), 300);
  };

  const draw = () => {
    const drawn = figures.map((_, index) => shown(index));
    figures.forEach((figure, index) => drawFigure(figure, drawn[index]));
    outline(picker.querySelector(".cell"), state.chosen);
    outline(picker.querySelector(".probe"), state.probed);
    document.body.classList.toggle("kept", state.kept);
    for (const button of tokenButtons) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.token) === state.chosen));
    }
    which.textContent = place();
    status.textContent = summary();
    drawThumbnails();
    drawTable(drawn);
    announce(drawn);
  };

  // Choosing

  const choose = (token, kept = state.kept) => {
    if (token === state.chosen && kept === state.kept && state.probed === null) return;
    Object.assign(state, { chosen: token, kept, probed: null });
    if (isPatch(token)) state.cursor = token;
    draw();
  };

  const probe = (token, keyed = false) => {
    state.keyed = keyed;
    if (token === state.probed) return;
    state.probed = token;
    draw();
  };

  const pointAt = (token, keyed = false) => (state.kept ? probe(token, keyed) : choose(token));
  // A second click on what is kept lets it go.
  const keep = (token) => choose(token, !(state.kept && token === state.chosen));

  const step = (event, from) => {
    const place = from - prefix.length;
    const at = [Math.floor(place / columns), place % columns];
    const to = elucid.moved(event, at, [rows, columns]);
    return to === null ? null : prefix.length + to;
  };

  const patchAt = (panel, event) => {
    const box = panel.getBoundingClientRect();
    const along = (at, start, length, count) =>
      Math.min(Math.max(Math.floor(((at - start) / length) * count), 0), count - 1);
    const row = along(event.clientY, box.top, box.height, rows);
    return prefix.length + row * columns + along(event.clientX, box.left, box.width, columns);
  };

  // A finger that is lifted still reads what it touched.
  const leave = (event) => {
    if (event.pointerType !== "touch") probe(null);
  };

  // What a pointer reads stays when the focus goes to where it points.
  const blur = () => {
    if (state.keyed) probe(null);
  };

  picker.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") pointAt(patchAt(picker, event));
  });
  picker.addEventListener("pointermove", (event) => pointAt(patchAt(picker, event)));
  picker.addEventListener("pointerleave", leave);
  picker.addEventListener("click", (event) => keep(patchAt(picker, event)));
  const reach = () => {
    if (!state.kept) choose(state.cursor);
  };
  onKeyboard(picker, reach, blur);
  picker.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      keep(state.kept ? (state.probed ?? state.chosen) : state.cursor);
      return;
    }
    const token = step(event, state.kept ? (state.probed ?? state.cursor) : state.cursor);
    if (token === null) return;
    event.preventDefault();
    pointAt(token, true);
  });

  for (const button of tokenButtons) {
    const token = Number(button.dataset.token);
    onPointer(button, () => pointAt(token), leave);
    onKeyboard(button, () => pointAt(token, true), blur);
    button.addEventListener("click", () => keep(token));
  }

  for (const panel of document.querySelectorAll(".picture .panel")) {
    const read = (event) => probe(patchAt(panel, event));
    panel.addEventListener("pointerdown", read);
    panel.addEventListener("pointermove", read);
    panel.addEventListener("pointerleave", leave);
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") choose(state.chosen, false);
  });

  // Controls

  const listHeads = () => {
    const { heads, averaged } = blocks[chosenBlock()];
    const before = controls.head.value;
    const all = Array.from({ length: averaged || heads === 1 ? 0 : heads }, (_, head) => head);
    const list = averaged || heads > 1 ? [MEAN, ...all] : [0];
    if (list.length === controls.head.options.length) return;
    controls.head.replaceChildren(...list.map((head) => new Option(capital(headName(head)), head)));
    controls.head.value = list.map(String).includes(before) ? before : String(list[0]);
  };

  controls.addEventListener("input", () => {
    listHeads();
    document.documentElement.style.setProperty("--opacity", controls.opacity.value);
    controls.opacity.setAttribute("aria-valuetext", `${Math.round(100 * controls.opacity.value)} %`);
    draw();
  });
  controls.addEventListener("submit", (event) => event.preventDefault());

  for (const photo of document.querySelectorAll(".photo")) photo.src = data.photo;
  listHeads();
  draw();
})();
