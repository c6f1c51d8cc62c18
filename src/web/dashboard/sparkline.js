// A small line without axes. The value beside it is its text.

import { setAttribute, svg } from './dom.js';

const WIDTH = 72;
const HEIGHT = 20;
const POINTS = 60;

export function sparkline() {
  const line = svg('polyline', { fill: 'none' });
  const view = { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' };
  return svg('svg', view, line);
}

// Draws the last values; the scale begins at 0 and reaches at least `floor`.
export function drawSparkline(spark, values, floor) {
  const last = values.slice(-POINTS);
  const most = Math.max(floor, ...last.filter((value) => value !== null)) * 1.1;
  const step = WIDTH / (POINTS - 1);
  const places = [];
  last.forEach((value, at) => {
    if (value === null) return;
    const x = WIDTH - (last.length - 1 - at) * step;
    places.push(`${x.toFixed(1)},${(HEIGHT - 1 - (value / most) * (HEIGHT - 3)).toFixed(1)}`);
  });
  setAttribute(spark.firstChild, 'points', places.join(' '));
}
