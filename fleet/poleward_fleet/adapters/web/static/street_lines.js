// Guesses the streets from the poles: each pole is joined to its neighbours along the row it stands in.
// A background to find one's way by, not a map: nothing is computed from it.

const REACH_M = 75;
const EARTH_M = 40075016.686;

// Returns pairs of pole indexes, flat.
export function streetLines(columns) {
  const { count, x, y } = columns;
  if (count < 2) return new Int32Array(0);
  let middle = 0;
  for (let i = 0; i < count; i++) middle += columns.latitude[i];
  middle /= count;
  const reach = REACH_M / (EARTH_M * Math.cos((middle * Math.PI) / 180));

  // Cells as wide as the reach, so that neighbours are in the nine cells around.
  const cells = new Map();
  const cellX = new Int32Array(count);
  const cellY = new Int32Array(count);
  const next = new Int32Array(count).fill(-1);
  for (let i = 0; i < count; i++) {
    cellX[i] = Math.floor(x[i] / reach);
    cellY[i] = Math.floor(y[i] / reach);
    const key = cellX[i] * 67108864 + cellY[i];
    const head = cells.get(key);
    if (head !== undefined) next[i] = head;
    cells.set(key, i);
  }

  const first = new Int32Array(count).fill(-1);
  const second = new Int32Array(count).fill(-1);
  const limit = reach * reach;
  for (let i = 0; i < count; i++) {
    let nearest = limit;
    for (let dx = -1; dx <= 1; dx++) {
      for (let dy = -1; dy <= 1; dy++) {
        let j = cells.get((cellX[i] + dx) * 67108864 + cellY[i] + dy) ?? -1;
        for (; j >= 0; j = next[j]) {
          const d = (x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2;
          if (j !== i && d > 0 && d < nearest) {
            nearest = d;
            first[i] = j;
          }
        }
      }
    }
    if (first[i] < 0) continue;
    // The other neighbour has to lie on the other side, or a row of lamps would fold back on itself.
    const ax = x[first[i]] - x[i];
    const ay = y[first[i]] - y[i];
    nearest = limit;
    for (let dx = -1; dx <= 1; dx++) {
      for (let dy = -1; dy <= 1; dy++) {
        let j = cells.get((cellX[i] + dx) * 67108864 + cellY[i] + dy) ?? -1;
        for (; j >= 0; j = next[j]) {
          const bx = x[j] - x[i];
          const by = y[j] - y[i];
          const d = bx * bx + by * by;
          const dot = ax * bx + ay * by;
          if (d > 0 && d < nearest && dot < 0 && dot * dot > 0.5 * d * (ax * ax + ay * ay)) {
            nearest = d;
            second[i] = j;
          }
        }
      }
    }
  }

  const lines = [];
  for (let i = 0; i < count; i++) {
    for (const j of [first[i], second[i]]) {
      if (j >= 0 && (i < j || (first[j] !== i && second[j] !== i))) lines.push(i, j);
    }
  }
  return Int32Array.from(lines);
}
