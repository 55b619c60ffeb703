// Which language the page speaks, and its words. Of the daemon's own sentences, which are English, those that are known
// are said in the other one; the rest stays as the daemon says it.

const LANGUAGES = ["en", "zh-CN"];
const KEPT = "queuepool.language";
const TRANSLATED = ["zh-CN"];
const WIDE = ["said", "what", "names"];
const MANY = 3000;
let words = {};
let sentences = [];
const known = new Map();

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
  sentences = TRANSLATED.includes(name) ? await learn(name) : [];
  known.clear();
  document.documentElement.lang = name;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
}

// From {"exit {code}": "..."}. {said} is a sentence itself; those of WIDE may have blanks, the others are one word.
async function learn(name) {
  const found = await (await fetch(`assets/said-${name}.json`)).json();
  return Object.entries(found).map(([sentence, into]) => {
    const names = [];
    const parts = sentence.split(/\{(\w+)\}/).map((part, at) => {
      if (at % 2 === 0) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      names.push(part);
      return WIDE.includes(part) ? "(.+?)" : "(\\S+?)";
    });
    return { pattern: new RegExp(`^${parts.join("")}$`, "s"), names, into };
  });
}

// A sentence of the daemon, in the language of the page where that knows it.
export function said(text) {
  if (!text || !sentences.length) return text;
  if (!known.has(text)) {
    if (known.size > MANY) known.clear();
    known.set(text, whole(text) ?? begun(text) ?? joined(text) ?? text);
  }
  return known.get(text);
}

function whole(text) {
  for (const { pattern, names, into } of sentences) {
    const match = pattern.exec(text);
    if (match) return into.replace(/\{(\w+)\}/g, (_, name) => (name === "said" ? said : String)(match[names.indexOf(name) + 1]));
  }
  return null;
}

function joined(text) {
  const parts = text.split("; ").map((part) => [part, whole(part) ?? begun(part)]);
  return parts.some(([, found]) => found) ? parts.map(([part, found]) => found ?? part).join("；") : null;
}

// A sentence that is known, with what a process wrote behind it: `exit 3: no such table`.
function begun(text) {
  for (let at = text.lastIndexOf(": "); at > 0; at = text.lastIndexOf(": ", at - 1)) {
    const found = whole(text.slice(0, at));
    if (found !== null) return `${found}：${text.slice(at + 2)}`;
  }
  return null;
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
