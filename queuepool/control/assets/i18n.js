// Which language the page speaks, and its words. The daemon's own sentences stay as the daemon says them.

const LANGUAGES = ["en", "zh-CN"];
const KEPT = "queuepool.language";
let words = {};

export function language() {
  let kept = null;
  try {
    kept = localStorage.getItem(KEPT);
  } catch {
    // a browser that keeps nothing
  }
  if (LANGUAGES.includes(kept)) return kept;
  for (const wanted of navigator.languages ?? [navigator.language]) {
    const found = LANGUAGES.find((one) => one.split("-")[0] === wanted.toLowerCase().split("-")[0]);
    if (found) return found;
  }
  return "en";
}

export function keep(name) {
  try {
    localStorage.setItem(KEPT, name);
  } catch {
    // then for this time only
  }
}

export async function speak(name) {
  const answer = await fetch(`assets/${name}.json`);
  words = await answer.json();
  document.documentElement.lang = name;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
}

// The words of a key, with {name} filled in. A number `n` chooses between the forms of a key that has several.
export function t(key, facts = {}) {
  let found = words[key];
  if (found === undefined) return key;
  if (typeof found !== "string") {
    const form = new Intl.PluralRules(document.documentElement.lang).select(facts.n);
    found = found[form] ?? found.other;
  }
  return found.replace(/\{(\w+)\}/g, (_, name) => facts[name] ?? "");
}

export const has = (key) => key in words;
