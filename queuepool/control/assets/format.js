// Numbers, sizes and times as people read them. Times are unix seconds; the server's clock is the one that counts.

let offset = 0;

export const setClock = (server) => {
  offset = server - Date.now() / 1000;
};
export const now = () => Date.now() / 1000 + offset;

// A length of time in two or three characters and a unit, as the command line has it: 0.4s, 12s, 5m, 3h, 2d.
export function short(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)}s`;
  if (seconds < 99.5) return `${Math.round(seconds)}s`;
  if (seconds < 99.5 * 60) return `${Math.round(seconds / 60)}m`;
  if (seconds < 47.5 * 3600) return `${Math.round(seconds / 3600)}h`;
  return `${Math.round(seconds / 86400)}d`;
}

// How long something took that is over: 0.4s, 12s, and from then on as a clock.
export const lasted = (seconds) => (seconds < 99.5 ? short(seconds) : clock(seconds));

// Supervisor's form: 0:00:12, or 2d 3:04:05.
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / 86400);
  const two = (n) => String(n).padStart(2, "0");
  const text = `${Math.floor((whole % 86400) / 3600)}:${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`;
  return days ? `${days}d ${text}` : text;
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  if (bytes < 999500) return `${Math.round(bytes / 1000)} kB`;
  if (bytes < 999.5e6) return `${Math.round(bytes / 1e6)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

export const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(share * 100)}%`);

export function number(value) {
  if (value === null || value === undefined) return "–";
  return value.toLocaleString(document.documentElement.lang);
}

export function rate(value) {
  if (value === null || value === undefined) return "–";
  return value >= 100 ? number(Math.round(value)) : value.toFixed(1);
}

export const time = (at) =>
  new Date(at * 1000).toLocaleTimeString(document.documentElement.lang, { hour12: false });

export function moment(at) {
  const when = new Date(at * 1000);
  const today = when.toDateString() === new Date(now() * 1000).toDateString();
  if (today) return time(at);
  const date = when.toLocaleDateString(document.documentElement.lang, { month: "2-digit", day: "2-digit" });
  return `${date} ${time(at)}`;
}

// A class without its namespace, which is the same for nearly all jobs.
export const baseName = (name) => (name ?? "").split("\\").pop();
export const lastPart = (path) => (path ?? "").replace(/\/+$/, "").split("/").pop();
