// What a threshold tells apart, counted in one place for every page.
"use strict";
const decide = {
  /** Whether a score is an alarm; a calibrated threshold itself is none ("strict"). */
  isAlarm: (score, threshold, strict) => (strict ? score > threshold : score >= threshold),
  /** How many scores are. */
  count: (scores, threshold, strict) =>
    scores.reduce((sum, score) => sum + (decide.isAlarm(score, threshold, strict) ? 1 : 0), 0),
  /** A share as text; a dash of nothing. */
  percent: (part, whole) => (whole ? (100 * part / whole).toFixed(1) : "–") + " %",
};
