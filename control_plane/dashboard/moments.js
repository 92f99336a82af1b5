// Times in words.

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

/** The date, without the year if it is this one. */
export function day(moment) {
  return (moment.getFullYear() === new Date().getFullYear() ? DAY : YEAR).format(moment);
}

/** The time of day, with the date in front unless it is today's. */
export function clock(moment) {
  const time = TIME.format(moment);
  return moment.toDateString() === new Date().toDateString() ? time : `${day(moment)}, ${time}`;
}

export const whole = (moment) => WHOLE.format(moment);

/** How long ago, roughly. */
export function ago(moment, now = Date.now()) {
  const seconds = Math.max(0, (now - moment.getTime()) / 1000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return day(moment);
}
