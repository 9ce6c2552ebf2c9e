// Numbers for people. What is not known yet is a dash.

export const UNKNOWN = "–";

const whole = new Intl.NumberFormat("en-US");
const BYTES = ["B", "kB", "MB", "GB", "TB"];

const known = (show) => (value) => (value === null || value === undefined ? UNKNOWN : show(value));

export const count = known((value) => whole.format(value));
export const percent = known((value) => `${(100 * value).toFixed(1)}%`);
export const loss = known((value) => value.toFixed(value < 10 ? 3 : 1));
export const rate = known((value) => value.toFixed(value < 10 ? 1 : 0));
export const megabytes = known((value) => (value / 1e6).toFixed(value < 1e6 ? 2 : 1));
export const milliseconds = known((value) => value.toFixed(value < 10 ? 1 : 0));

export const bytes = known((value) => {
  let unit = 0;
  while (value >= 1000 && unit < BYTES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${BYTES[unit]}`;
});

/** The time of day of a time in seconds. */
export function clock(time) {
  return new Date(1000 * time).toLocaleTimeString("en-GB");
}

/** How long ago, from two times in seconds. */
export function ago(then, now) {
  if (then === null || then === undefined) return UNKNOWN;
  const seconds = Math.max(0, Math.round(now - then));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** A share as percentage points. */
export const points = known((value) => `${(100 * value).toFixed(1)} pt`);

/** The day and time of a time in seconds. */
export function moment(time) {
  const options = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  return new Date(1000 * time).toLocaleString("en-GB", options);
}
