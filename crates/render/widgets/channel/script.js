"use strict";

// What is chosen is { channel, view }: the view in which it was chosen says whose map is drawn.
(() => {
  const { int16, number, onKeyboard, onPointer } = elucid;
  const data = elucid.data();
  const controls = document.getElementById("controls");
  const panel = document.querySelector(".panel");
  const map = panel.querySelector(".map");
  const where = document.querySelector(".where");
  const portrait = document.querySelector(".portrait .sprite");
  const reading = document.querySelector(".reading");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const state = { hovered: null, keyed: null, pinned: null };
  const chosen = () => state.pinned ?? state.hovered ?? state.keyed;

  panel.querySelector(".photo").src = data.photo;

  // Sprites

  const slots = new Map(data.sheet ? data.sheet.slots : []);
  if (data.sheet) {
    const style = document.createElement("style");
    const { source, columns, rows } = data.sheet;
    style.textContent = `.sprite.present { background-image: url("${source}"); background-size: ${100 * columns}% ${100 * rows}%; }`;
    document.head.append(style);
  }

  // Position n of m as CSS counts a background that is m times as large as what is seen of it.
  const share = (n, m) => (m > 1 ? (100 * n) / (m - 1) : 0);

  const showSprite = (element, channel, absent) => {
    const slot = channel === null ? undefined : slots.get(channel);
    element.classList.toggle("present", slot !== undefined);
    element.textContent = slot === undefined ? absent : "";
    if (slot === undefined) {
      element.style.backgroundPosition = "";
      return;
    }
    const { columns, rows } = data.sheet;
    const [x, y] = [share(slot % columns, columns), share(Math.floor(slot / columns), rows)];
    element.style.backgroundPosition = `${x}% ${y}%`;
  };

  // Numbers

  const height = (value) => {
    const part = data.limit > 0 ? value / data.limit : 0;
    return controls.height.value === "root" ? Math.sign(part) * Math.sqrt(Math.abs(part)) : part;
  };
  const strength = (value) => (data.full > 0 ? Math.min(Math.abs(value) / data.full, 1.5) : 0);
  const hue = (value) => (value > 0 ? 210 : 0);

  const barColor = (value) => {
    const t = strength(value);
    return dark.matches
      ? `hsl(${hue(value)} ${65 + 20 * t}% ${42 + 16 * t}%)`
      : `hsl(${hue(value)} ${Math.min(100, Math.max(90, 110 * t))}% ${Math.min(80, 100 - 40 * t)}%)`;
  };
  const valueColor = (value) => `hsl(${hue(value)} ${Math.min(100, 100 * strength(value))}% ${100 - 30 * strength(value)}%)`;

  const views = [...document.querySelectorAll(".view")].map((element, index) => {
    const view = data.views[index];
    const ranks = new Array(view.order.length);
    view.order.forEach((channel, rank) => (ranks[channel] = rank));
    return {
      ...view,
      index,
      ranks,
      cursor: 0,
      element,
      bars: element.querySelector(".bars"),
      canvas: element.querySelector("canvas"),
      mark: element.querySelector(".mark"),
      tiles: new Map(),
      maps: view.maps && {
        ...view.maps,
        values: int16(view.maps.values),
        places: view.maps.channels && new Map(view.maps.channels.map((channel, i) => [channel, i])),
      },
    };
  });

  const described = (view, channel) =>
    `channel ${channel}, ${number(view.values[channel])}, rank ${view.ranks[channel] + 1} of ${view.order.length}`;

  // Bars

  // Room above and below zero, the same in all views.
  const reach = () => {
    const ends = views.map((view) => [view.values[view.order[0]], view.values[view.order.at(-1)]]);
    return [
      Math.max(0, ...ends.map(([high]) => height(high))),
      Math.max(0, ...ends.map(([, low]) => -height(low))),
    ];
  };

  const drawBars = (view) => {
    const { canvas, order, values } = view;
    const scale = devicePixelRatio || 1;
    const [width, tall] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * scale)));
    if (canvas.width !== width || canvas.height !== tall) {
      canvas.width = width;
      canvas.height = tall;
    }
    const context = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    context.clearRect(0, 0, width, tall);
    const [above, below] = reach();
    const unit = above + below > 0 ? (tall - scale) / (above + below) : 0;
    const zero = above + below > 0 ? above * unit : tall / 2;
    const bar = (rank, color, least) => {
      const value = values[order[rank]];
      const [left, right] = [rank, rank + 1].map((i) => Math.round((i * width) / order.length));
      const gap = right - left >= 4 * scale ? Math.round(scale) : 0;
      const wide = Math.max(right - left - gap, least);
      const long = Math.max(Math.abs(height(value)) * unit, value === 0 ? 0 : least);
      context.fillStyle = color;
      context.fillRect(left - (wide - Math.max(right - left - gap, 0)) / 2, value > 0 ? zero - long : zero, wide, long);
    };
    order.forEach((channel, rank) => bar(rank, barColor(values[channel]), 0));
    context.fillStyle = style.getPropertyValue("--quiet");
    context.globalAlpha = 0.5;
    context.fillRect(0, Math.round(zero), width, scale);
    context.globalAlpha = 1;
    const choice = chosen();
    if (choice) bar(view.ranks[choice.channel], style.getPropertyValue("--chosen"), 3 * scale);

    const axis = view.element.querySelector(".axis");
    const [high, low] = [view.element.querySelector(".high"), view.element.querySelector(".low")];
    const end = (share) => (controls.height.value === "root" ? share * share : share) * data.limit;
    high.textContent = above > 0 ? number(end(above)) : "";
    low.textContent = below > 0 ? number(-end(below)) : "";
    const at = (100 * zero) / tall;
    high.style.top = "0";
    low.style.top = "100%";
    axis.querySelector(".zero").style.top = `${at}%`;
    // Zero gives way to an end that it would cover.
    axis.querySelector(".zero").hidden = (above > 0 && at < 14) || (below > 0 && at > 86);
  };

  const drawMark = (view) => {
    const choice = chosen();
    view.mark.hidden = !choice;
    const rank = choice ? view.ranks[choice.channel] : view.cursor;
    view.bars.setAttribute("aria-valuenow", rank + 1);
    view.bars.setAttribute("aria-valuetext", described(view, view.order[rank]));
    if (!choice) return;
    const share = (rank + 0.5) / view.order.length;
    view.mark.style.left = `${100 * share}%`;
    view.mark.classList.toggle("flipped", share > 0.6);
    view.mark.firstChild.textContent = `${choice.channel}: ${number(view.values[choice.channel])}`;
  };

  // The photograph

  const drawMap = () => {
    const choice = chosen();
    const place = (view) => {
      if (!view.maps) return undefined;
      return view.maps.places ? view.maps.places.get(choice.channel) : choice.channel;
    };
    const has = (view) => place(view) !== undefined;
    const view = choice && (has(views[choice.view]) ? views[choice.view] : views.find(has));
    map.hidden = !view;
    panel.classList.toggle("mapped", Boolean(view));
    if (where) where.textContent = "";
    if (!view) return;
    const { rows, columns, values, scales } = view.maps;
    const start = place(view) * rows * columns;
    map.width = columns;
    map.height = rows;
    const context = map.getContext("2d");
    const picture = context.createImageData(columns, rows);
    let peak = 0;
    for (let i = 0; i < rows * columns; i++) {
      const value = values[start + i];
      if (Math.abs(value) > Math.abs(values[start + peak])) peak = i;
      const color = value > 0 ? [51, 153, 255] : [255, 71, 71];
      picture.data.set([...color, Math.round(235 * Math.abs(value / data.steps) ** 0.7)], 4 * i);
    }
    context.putImageData(picture, 0, 0);
    const strongest = (values[start + peak] * scales[place(view)]) / data.steps;
    const name = views.length > 1 ? `${view.name}, ` : "";
    if (where) where.textContent = strongest === 0 ? `${name}nowhere` : `${name}strongest cell ${number(strongest)}`;
  };

  // The chosen channel

  const drawReading = () => {
    const choice = chosen();
    const [heading, list] = reading.children;
    heading.textContent = choice ? `Channel ${choice.channel}` : "No channel chosen";
    const rows = views.map((view) => {
      const row = document.createElement("div");
      const [term, value, rank] = ["dt", "dd", "dd"].map((name) => document.createElement(name));
      term.textContent = view.name;
      value.textContent = choice ? number(view.values[choice.channel]) : "";
      rank.className = "rank";
      rank.textContent = choice ? `rank ${view.ranks[choice.channel] + 1} of ${view.order.length}` : "";
      row.append(term, value, rank);
      return row;
    });
    list.replaceChildren(...(choice ? rows : []));
    if (portrait) {
      const absent = choice ? `No picture of channel ${choice.channel}` : "Point at a bar or a channel";
      showSprite(portrait, choice && choice.channel, absent);
    }
  };

  const draw = () => {
    const choice = chosen();
    for (const view of views) {
      drawBars(view);
      drawMark(view);
      for (const [channel, tile] of view.tiles) {
        tile.classList.toggle("chosen", choice?.channel === channel);
        tile.setAttribute("aria-pressed", state.pinned?.channel === channel);
      }
    }
    drawMap();
    drawReading();
  };

  // Choosing

  const same = (a, b) => a?.channel === b?.channel && a?.view === b?.view;
  const pointAt = (choice) => {
    if (same(choice, state.hovered)) return;
    state.hovered = choice;
    draw();
  };
  const pin = (choice) => {
    state.pinned = choice.channel === state.pinned?.channel ? null : choice;
    draw();
  };
  const keyed = (choice) => {
    state.hovered = null;
    state.keyed = choice;
    if (state.pinned && choice) state.pinned = choice;
    draw();
  };
  const unkey = () => {
    state.keyed = null;
    draw();
  };

  const unseen = (text) => {
    const element = document.createElement("span");
    element.className = "visually-hidden";
    element.textContent = text;
    return element;
  };

  const tile = (view, channel) => {
    const element = document.createElement("button");
    element.type = "button";
    element.className = "tile";
    element.dataset.channel = channel;
    if (data.sheet) {
      const sprite = document.createElement("span");
      sprite.className = "sprite";
      showSprite(sprite, channel, "no picture");
      element.append(sprite);
    }
    const value = document.createElement("span");
    value.className = "value";
    value.textContent = number(view.values[channel]);
    value.style.background = valueColor(view.values[channel]);
    const name = document.createElement("span");
    name.className = "number";
    name.textContent = channel;
    // What is seen is part of what is spoken, in the same order: whoever speaks to the page says what stands there.
    const rank = unseen(`, rank ${view.ranks[channel] + 1} of ${view.order.length}`);
    element.append(value, unseen(", channel "), name, rank);

    const choice = { channel, view: view.index };
    onPointer(element, () => pointAt(choice), () => pointAt(null));
    element.addEventListener("click", () => pin(choice));
    const reach = () => {
      Object.assign(state, { hovered: null, keyed: choice });
      draw();
    };
    onKeyboard(element, reach, unkey);
    view.tiles.set(channel, element);
    return element;
  };

  for (const view of views) {
    const { bars, order } = view;
    const ends = view.element.querySelector(".ends");
    ends.style.setProperty("--top", view.top.length);
    ends.style.setProperty("--bottom", view.bottom.length);
    // More than can stand in one row.
    ends.classList.toggle("wrapped", view.bottom.length === 0 || view.top.length > 5);
    ends.append(...view.top.map((channel) => tile(view, channel)));
    if (view.bottom.length > 0) {
      const gap = document.createElement("div");
      gap.className = "gap";
      gap.textContent = "\u2026";
      const rest = document.createElement("small");
      rest.textContent = `${order.length - view.top.length - view.bottom.length} more`;
      gap.append(rest);
      ends.append(gap, ...view.bottom.map((channel) => tile(view, channel)));
    }
    const positive = view.values.filter((value) => value > 0).length;
    const negative = view.values.filter((value) => value < 0).length;
    view.element.querySelector(".sum").textContent =
      `Sum ${number(view.sum)} \u00b7 ${positive} channels add, ${negative} take away`;

    const at = (event) => {
      const box = bars.getBoundingClientRect();
      const rank = Math.floor(((event.clientX - box.left) / box.width) * order.length);
      view.cursor = Math.min(Math.max(rank, 0), order.length - 1);
      return { channel: order[view.cursor], view: view.index };
    };
    bars.addEventListener("pointerdown", (event) => pointAt(at(event)));
    bars.addEventListener("pointermove", (event) => pointAt(at(event)));
    bars.addEventListener("pointerleave", () => pointAt(null));
    bars.addEventListener("pointercancel", () => pointAt(null));
    bars.addEventListener("click", (event) => pin(at(event)));
    const atCursor = () => ({ channel: order[view.cursor], view: view.index });
    const reach = () => {
      const choice = chosen();
      if (choice) view.cursor = view.ranks[choice.channel];
      keyed(atCursor());
    };
    onKeyboard(bars, reach, unkey);
    bars.addEventListener("keydown", (event) => {
      if (event.altKey || event.metaKey || event.ctrlKey) return;
      const page = Math.max(1, Math.round(order.length / 10));
      const steps = {
        ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: page, PageDown: -page,
        Home: -order.length, End: order.length,
      };
      if (event.key === "Enter" || event.key === " ") pin(atCursor());
      else if (event.key in steps) {
        view.cursor = Math.min(Math.max(view.cursor + steps[event.key], 0), order.length - 1);
        keyed(atCursor());
      } else return;
      event.preventDefault();
    });
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    Object.assign(state, { hovered: null, keyed: null, pinned: null });
    draw();
  });

  // Drawing options

  const drawScale = () => {
    const plain = (value) => number(value).replace("+", "");
    const how = controls.height.value === "root"
      ? "Heights grow with the square root of the value, so that small ones are seen"
      : "Heights grow with the value";
    document.getElementById("scale").textContent =
      `${how}, up to the largest absolute value, ${plain(data.limit)}; colours are full from ${plain(data.full)} on, the 99th percentile.` +
      (views.length > 1 ? " All views have one scale." : "");
  };
  controls.addEventListener("input", () => {
    drawScale();
    draw();
  });
  controls.addEventListener("submit", (event) => event.preventDefault());
  dark.addEventListener("change", draw);
  new ResizeObserver(() => views.forEach(drawBars)).observe(views[0].canvas);
  drawScale();
  draw();
})();
