// The form to log in, in the language of whoever stands before it.

import { language, speak, t } from "./i18n.js";

await speak(language());
const error = document.getElementById("error");
const known = `login.error.${error.textContent}`;
if (error.textContent && t(known) !== known) error.textContent = t(known);
const next = document.querySelector("input[name=next]");
if (location.hash && !next.value.includes("#")) next.value += location.hash;
