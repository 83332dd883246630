/** Small pieces for building the page. All text goes in as text, never as markup. */

/**
 * An element. `props`: `class`, `text`, `on` (listeners by event), `hidden` and so on as properties; names with a dash,
 * `role` and `for` as attributes. Children are nodes or text; what is null is left out.
 */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (name === 'class') element.className = value;
    else if (name === 'text') element.textContent = value;
    else if (name === 'on')
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name.includes('-') || name === 'role' || name === 'for' || name === 'scope')
      element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Writes only what has changed, so that a selection or a reader's place is not lost. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

/** Calls `render` only when its data have changed. */
export function whenChanged(render) {
  let shown = '';
  return (data) => {
    const now = JSON.stringify(data);
    if (now === shown) return;
    shown = now;
    render(data);
  };
}

/** Keeps the children that have the same key, so that focus stays where it is. */
export function keyed(parent, create) {
  const known = new Map();
  return (items) => {
    const keys = new Set(items.map(({ key }) => key));
    for (const [key, child] of known)
      if (!keys.has(key)) {
        child.element.remove();
        known.delete(key);
      }
    let before = null;
    for (const item of items) {
      let child = known.get(item.key);
      if (!child) {
        child = create(item);
        known.set(item.key, child);
      }
      child.update?.(item);
      const place = before ? before.nextElementSibling : parent.firstElementChild;
      if (place !== child.element) parent.insertBefore(child.element, place);
      before = child.element;
    }
  };
}
