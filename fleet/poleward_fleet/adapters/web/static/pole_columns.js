// Poles of the map as columns in typed arrays, and the counts over them.
// Draws nothing and fetches nothing.

export const STATUSES = ["lit", "dark", "fault", "silent", "offline", "waiting", "no_node"];
export const STATUS_INDEX = Object.fromEntries(STATUSES.map((name, index) => [name, index]));
const [LIT, DARK, FAULT] = [0, 1, 2];
const NO_NODE = STATUS_INDEX.no_node;

// Web Mercator with the world as the unit square, so that a zoom level is one multiplication.
function mercatorX(longitudeDeg) {
  return (longitudeDeg + 180) / 360;
}
function mercatorY(latitudeDeg) {
  const sine = Math.sin((latitudeDeg * Math.PI) / 180);
  return 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
}

export class PoleColumns {
  constructor(answer) {
    const count = answer.code.length;
    this.count = count;
    this.atMs = answer.at_ms;
    this.code = answer.code;
    this.areaCodes = answer.area_codes;
    this.area = Uint16Array.from(answer.area);
    this.status = Uint8Array.from(answer.status, Number);
    this.level = Int16Array.from(answer.level);
    this.powerDw = Int32Array.from(answer.power_dw);
    this.heardMs = Float64Array.from(answer.heard_ago_s, (ago) => (ago < 0 ? 0 : answer.at_ms - ago * 1000));
    this.x = new Float64Array(count);
    this.y = new Float64Array(count);
    this.latitude = new Float64Array(count);
    this.longitude = new Float64Array(count);
    this.shown = new Uint8Array(count).fill(1);
    let latitude = 0;
    let longitude = 0;
    for (let i = 0; i < count; i++) {
      latitude += answer.latitude_e6[i];
      longitude += answer.longitude_e6[i];
      this.latitude[i] = latitude / 1e6;
      this.longitude[i] = longitude / 1e6;
      this.x[i] = mercatorX(longitude / 1e6);
      this.y[i] = mercatorY(latitude / 1e6);
    }
    this.indexOfCode = new Map();
    for (let i = 0; i < count; i++) this.indexOfCode.set(this.code[i], i);
  }

  // Takes a live change; returns false when it names a pole that is not here.
  apply(change) {
    let known = true;
    for (let k = 0; k < change.code.length; k++) {
      const i = this.indexOfCode.get(change.code[k]);
      if (i === undefined) {
        known = false;
        continue;
      }
      this.status[i] = change.status[k];
      this.level[i] = change.level[k];
      this.powerDw[i] = change.power_dw[k];
      this.heardMs[i] = change.heard_ms[k];
    }
    this.atMs = change.at_ms;
    return known;
  }

  // Shows only poles of these statuses (a Set of indexes) in these areas (a Set of codes, or null).
  filter(statuses, areas) {
    const areaShown = this.areaCodes.map((code) => areas === null || areas.has(code));
    for (let i = 0; i < this.count; i++) {
      this.shown[i] = statuses.has(this.status[i]) && areaShown[this.area[i]] ? 1 : 0;
    }
  }

  // Counts by status and the two rates, by the rules of the fleet's domain/inventory.py, totals().
  totals(areas) {
    const areaShown = this.areaCodes.map((code) => areas === null || areas.has(code));
    const byStatus = new Uint32Array(STATUSES.length);
    let poles = 0;
    let shouldBeLit = 0;
    for (let i = 0; i < this.count; i++) {
      if (!areaShown[this.area[i]]) continue;
      poles++;
      byStatus[this.status[i]]++;
      if (this.status[i] === FAULT || this.level[i] > 0) shouldBeLit++;
    }
    const inService = poles - byStatus[NO_NODE];
    const online = byStatus[LIT] + byStatus[DARK] + byStatus[FAULT];
    return {
      poles,
      byStatus,
      online,
      inService,
      lit: byStatus[LIT],
      shouldBeLit,
      onlineRate: inService ? online / inService : null,
      litRate: shouldBeLit ? byStatus[LIT] / shouldBeLit : null,
    };
  }

  bounds(areas = null) {
    const areaShown = this.areaCodes.map((code) => areas === null || areas.has(code));
    let [south, west, north, east] = [90, 180, -90, -180];
    for (let i = 0; i < this.count; i++) {
      if (!areaShown[this.area[i]]) continue;
      south = Math.min(south, this.latitude[i]);
      north = Math.max(north, this.latitude[i]);
      west = Math.min(west, this.longitude[i]);
      east = Math.max(east, this.longitude[i]);
    }
    return south > north ? null : [[south, west], [north, east]];
  }
}
