/** Times at regular steps, which pandas names: `h`, `D`, `B`, `W`, `MS` and their like; all in UTC. */

import { PageError } from "./errors.mjs";

const MOST = 1_000_000;
/** Steps of a series. */
const DAY = 86_400_000;
/** @type {Record<string, number>} in milliseconds */
const FIXED = { s: 1000, min: 60_000, h: 3_600_000, D: DAY };
/** @type {Record<string, number>} */
const MONTHS = { M: 1, Q: 3, Y: 12 };
const WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const NAMES = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(" ");
const KNOWN = /^(\d*)(?:(s|min|h|D)|(B)|W(?:-([A-Z]{3}))?|([MQY])([SE])(?:-([A-Z]{3}))?)$/;

/**
 * The steps of a frequency.
 *
 * @param {string} frequency
 * @returns {{onto: (time: number) => number, after: (time: number) => number}} onto: the first
 *   regular time that is not before this one; after: the next one
 */
export function steps(frequency) {
  const [, count, fixed, business, weekday, kind, end, month] = KNOWN.exec(frequency) ?? [];
  const many = Number(count || 1);
  const named = month ? NAMES.indexOf(month) : end === "S" ? 0 : 11;
  const day = WEEKDAYS.indexOf(weekday ?? "SUN");
  if (!KNOWN.test(frequency) || !many || named < 0 || day < 0) {
    throw new PageError("error.frequency", { frequency });
  }
  if (fixed) return { onto: (time) => time, after: (time) => time + many * FIXED[fixed] };
  if (business) return { onto: onWeekday, after: (time) => weekdaysAfter(time, many) };
  if (!kind) {
    return {
      onto: (time) => time + ((day - new Date(time).getUTCDay() + 7) % 7) * DAY,
      after: (time) => time + many * 7 * DAY,
    };
  }
  const unit = MONTHS[kind];
  /** The first or last day of the month that is so many months on. */
  const moved = (/** @type {number} */ time, /** @type {number} */ months) => {
    const date = new Date(time);
    const first = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months + (end === "E" ? 1 : 0), 1);
    return first - (end === "E" ? DAY : 0) + (((time % DAY) + DAY) % DAY);
  };
  return {
    onto(time) {
      let months = moved(time, 0) < time ? 1 : 0;
      while ((new Date(moved(time, months)).getUTCMonth() - named + 12) % unit) months += 1;
      return moved(time, months);
    },
    after: (time) => moved(time, many * unit),
  };
}

/**
 * The first time from this one on that is from Monday to Friday.
 *
 * @param {number} time
 */
function onWeekday(time) {
  const away = [1, 0, 0, 0, 0, 0, 2][new Date(time).getUTCDay()];
  return time + away * DAY;
}

/**
 * @param {number} time
 * @param {number} many
 */
function weekdaysAfter(time, many) {
  for (let n = 0; n < many; n++) time = onWeekday(time + DAY);
  return time;
}

/**
 * The regular times from one to another.
 *
 * @param {number} first
 * @param {number} last
 * @param {string} frequency
 */
export function regular(first, last, frequency) {
  const { onto, after } = steps(frequency);
  const times = [];
  for (let time = onto(first); time <= last; time = after(time)) {
    if (times.push(time) > MOST) throw new PageError("error.tooLong", { frequency });
  }
  return times;
}

/**
 * A time as ISO 8601, without what midnight adds.
 *
 * @param {number} time
 */
export function shown(time) {
  return new Date(time).toISOString().slice(0, 19).replace("T00:00:00", "");
}
