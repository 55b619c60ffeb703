// Building and changing the document. Data reaches it as text only.

// An element: h("a", {href: "#/", class: "x", onclick: f, "aria-label": "y"}, "text", child, [children], null)
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(node, name, value);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function set(node, name, value) {
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
    if (name === "value" && "value" in node && node.value !== text) node.value = text;
  }
}

export function text(node, value) {
  const told = value === null || value === undefined ? "" : String(value);
  if (node.textContent !== told) node.textContent = told;
  return node;
}

export function show(node, visible) {
  if (node.hidden === Boolean(visible)) node.hidden = !visible;
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter(Boolean));
  return node;
}

// Keeps the children of a node in step with a list of [key, item]: made once, updated, moved and removed, never rebuilt,
// so that focus, selection and scrolling stay where they are.
export class Keyed {
  constructor(parent, make) {
    this.parent = parent;
    this.make = make;
    this.parts = new Map();
  }

  update(items) {
    const wanted = new Set(items.map(([key]) => key));
    for (const [key, part] of this.parts) {
      if (wanted.has(key)) continue;
      part.node.remove();
      part.end?.();
      this.parts.delete(key);
    }
    let place = this.parent.firstElementChild;
    for (const [key, item] of items) {
      let part = this.parts.get(key);
      if (!part) this.parts.set(key, (part = this.make(key, item)));
      part.update(item);
      if (part.node === place) place = place.nextElementSibling;
      else this.parent.insertBefore(part.node, place);
    }
  }
}

let serial = 0;
export const id = (name) => `${name}-${++serial}`;
