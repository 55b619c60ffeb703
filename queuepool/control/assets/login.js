// The form to log in, in the language of whoever stands before it.

import { language, speak, t } from "./i18n.js";

await speak(language());
const error = document.getElementById("error");
const wait = /Wait (\d+) s/.exec(error.textContent);
if (wait) error.textContent = t("login.error.many", { n: Number(wait[1]) });
else if (error.textContent.startsWith("Wrong name")) error.textContent = t("login.error.wrong");
const next = document.querySelector("input[name=next]");
if (location.hash && !next.value.includes("#")) next.value += location.hash;
