"use strict";

// What every page needs: its data, packed arrays, and numbers for people.
const elucid = {
  data: () => JSON.parse(document.getElementById("data").textContent),

  bytes: (base64) => {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  },

  // Little-endian whatever the machine is.
  int16: (base64) => {
    const view = new DataView(elucid.bytes(base64).buffer);
    const numbers = new Int16Array(view.byteLength / 2);
    for (let i = 0; i < numbers.length; i++) numbers[i] = view.getInt16(2 * i, true);
    return numbers;
  },

  // Each pixel of a canvas in a colour of a table: color(i) gives the table and the place in it.
  paint: (canvas, color) => {
    const context = canvas.getContext("2d");
    const picture = context.createImageData(canvas.width, canvas.height);
    for (let i = 0; i < canvas.width * canvas.height; i++) {
      const [source, at] = color(i);
      picture.data.set(source.subarray(at, at + 3), 4 * i);
      picture.data[4 * i + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
  },

  // Where a key leads from a place in a grid, [row, column]; null for keys that lead nowhere.
  moved: (event, [row, column], [rows, columns]) => {
    switch (event.key) {
      case "ArrowLeft": column -= 1; break;
      case "ArrowRight": column += 1; break;
      case "ArrowUp": row -= 1; break;
      case "ArrowDown": row += 1; break;
      case "PageUp": row = 0; break;
      case "PageDown": row = rows - 1; break;
      case "Home": column = 0; if (event.ctrlKey) row = 0; break;
      case "End": column = columns - 1; if (event.ctrlKey) row = rows - 1; break;
      default: return null;
    }
    const within = (i, count) => Math.min(Math.max(i, 0), count - 1);
    return within(row, rows) * columns + within(column, columns);
  },

  // Tells when the keyboard comes to an element, and when it leaves it.
  onKeyboard: (element, come, gone) => {
    element.addEventListener("focus", () => {
      if (element.matches(":focus-visible")) come();
    });
    element.addEventListener("blur", gone);
  },

  // Tells when the mouse or a pen is over an element, and when it no longer is.
  onPointer: (element, come, gone) => {
    element.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "touch") come();
    });
    element.addEventListener("pointerleave", gone);
  },

  // Three significant digits and a sign that lines up.
  number: (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    const digits = size >= 1e-4 && size < 1e5 ? size.toPrecision(3) : size.toExponential(2);
    const plain = digits.includes("e") ? digits.replace("e+", "e").replace("e-", "e\u2212") : digits;
    return (value < 0 ? "\u2212" : "+") + plain;
  },
};
