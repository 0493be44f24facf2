// Draws poles on a Leaflet map: light on the ground, then a mark per pole in colour and shape.
// Knows nothing of where poles come from or what a click does.
//
// Marks are copied pixel by pixel from small pre-drawn sprites into one image. That costs a few
// milliseconds for 100,000 poles; drawing as many paths costs seconds.

import { STATUSES, STATUS_INDEX } from "./pole_columns.js";

const L = window.L;
// What needs a person comes last, on top.
const ORDER = ["no_node", "dark", "lit", "waiting", "offline", "silent", "fault"].map((s) => STATUS_INDEX[s]);
const NEEDS_A_LOOK = new Set(["offline", "silent", "fault"].map((s) => STATUS_INDEX[s]));
const LIT = STATUS_INDEX.lit;
const GLOW_CELL = 3; // CSS pixels per cell of the light image
const STREETS_WHILE_MOVING = 3000; // more lines than this are drawn again only when the map rests
const STREETS_AT_ALL = 30000; // and with more than this on screen the poles show the streets themselves
const STREETS_REST_MS = 90;
// With more additions of light than this, lamps are counted per cell and the whole image is blurred.
const KERNEL_WORK = 700_000;

function disc(context, radius) {
  context.moveTo(radius, 0);
  context.arc(0, 0, radius, 0, 2 * Math.PI);
}

// Paths of radius r around the origin; where two lie over each other there is a hole.
const SHAPES = {
  lit: (c, r) => disc(c, r),
  dark: (c, r) => { disc(c, r); disc(c, r * 0.58); },
  fault: (c, r) => { c.moveTo(0, -1.25 * r); c.lineTo(1.2 * r, 0.95 * r); c.lineTo(-1.2 * r, 0.95 * r); },
  silent: (c, r) => { c.moveTo(0, -1.3 * r); c.lineTo(1.3 * r, 0); c.lineTo(0, 1.3 * r); c.lineTo(-1.3 * r, 0); },
  offline: (c, r) => c.rect(-r, -r, 2 * r, 2 * r),
  waiting: (c, r) => { disc(c, r); disc(c, r * 0.72); disc(c, r * 0.32); },
  no_node: (c, r) => c.rect(-r, -r * 0.3, 2 * r, r * 0.6),
};

function markRadius(zoom) {
  const steps = [[10, 1.1], [12, 1.5], [13, 1.9], [14, 2.5], [15, 3.3], [16, 4.4], [17, 5.6], [18, 6.8], [19, 8]];
  if (zoom <= steps[0][0]) return steps[0][1];
  for (let k = 1; k < steps.length; k++) {
    const [[z0, r0], [z1, r1]] = [steps[k - 1], steps[k]];
    if (zoom <= z1) return r0 + ((zoom - z0) / (z1 - z0)) * (r1 - r0);
  }
  return steps.at(-1)[1];
}

function sprite(status, radius, ratio, colour) {
  const half = Math.ceil(radius * 1.35 * ratio) + 1;
  const size = 2 * half + 1;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.translate(half + 0.5, half + 0.5);
  context.scale(ratio, ratio);
  context.fillStyle = colour;
  context.beginPath();
  SHAPES[STATUSES[status]](context, radius);
  context.fill("evenodd");
  const pixels = new Uint32Array(context.getImageData(0, 0, size, size).data.buffer);
  const places = [];
  for (let p = 0; p < pixels.length; p++) if (pixels[p] >>> 24 > 8) places.push(p);
  return {
    half,
    dx: Int16Array.from(places, (p) => (p % size) - half),
    dy: Int16Array.from(places, (p) => Math.floor(p / size) - half),
    pixel: Uint32Array.from(places, (p) => pixels[p]),
  };
}

function over(front, back) {
  const a = front >>> 24;
  if (a === 255 || back >>> 24 === 0) return front;
  const b = 255 - a;
  const mix = (shift) => ((((front >>> shift) & 255) * a + ((back >>> shift) & 255) * b) / 255) << shift;
  return ((Math.max(a, back >>> 24) << 24) | mix(16) | mix(8) | mix(0)) >>> 0;
}

// Opacity of light by amount in 1/256: it saturates, as light does to the eye.
const ALPHA = Uint8Array.from({ length: 1024 }, (_, k) => 215 * (1 - Math.exp(-k / 256)));

// Mean of the 2 * half + 1 cells around each, along rows.
function blurRows(from, to, width, height, half) {
  const share = 1 / (2 * half + 1);
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let sum = 0;
    for (let x = 0; x < half; x++) sum += from[row + x];
    for (let x = 0; x < width; x++) {
      if (x + half < width) sum += from[row + x + half];
      if (x > half) sum -= from[row + x - half - 1];
      to[row + x] = sum * share;
    }
  }
}

// The same along columns, a row at a time, because memory lies in rows.
function blurColumns(from, to, width, height, half) {
  const share = 1 / (2 * half + 1);
  const sums = new Float32Array(width);
  for (let y = 0; y < half; y++) for (let x = 0; x < width; x++) sums[x] += from[y * width + x];
  for (let y = 0; y < height; y++) {
    const add = (y + half) * width;
    const drop = (y - half - 1) * width;
    for (let x = 0; x < width; x++) {
      if (y + half < height) sums[x] += from[add + x];
      if (y > half) sums[x] -= from[drop + x];
      to[y * width + x] = sums[x] * share;
    }
  }
}

export const PoleLayer = L.Layer.extend({
  initialize() {
    this.columns = null;
    this.lines = new Int32Array(0);
    this.linesShown = 0;
    this.streetsAt = null;
    this.labels = [];
    this.selected = -1;
    this.stale = false;
    this.frameMs = [];
    this.sprites = new Map();
  },

  onAdd(map) {
    this.box = L.DomUtil.create("div", "pole-layer leaflet-zoom-animated", map.getPane("overlayPane"));
    for (const name of ["streets", "glow", "marks"]) {
      this[name] = L.DomUtil.create("canvas", `pole-${name}`, this.box);
    }
    this.readColours();
    this.place();
    return this;
  },

  onRemove() {
    this.box.remove();
    cancelAnimationFrame(this.pending);
    clearTimeout(this.resting);
  },

  getEvents() {
    return { move: this.redraw, moveend: this.redrawAll, resize: this.redrawAll, viewreset: this.redrawAll, zoomanim: this.animateZoom };
  },

  setColumns(columns) {
    this.columns = columns;
    this.onScreen = STATUSES.map(() => new Uint32Array(columns.count));
    this.redrawAll();
  },

  setBackground(lines, labels) {
    this.lines = lines;
    this.labels = labels;
    this.redrawAll();
  },

  select(index) {
    this.selected = index;
    this.redraw();
  },

  setStale(stale) {
    this.stale = stale;
    this.box.classList.toggle("stale", stale);
  },

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    this.colours = STATUSES.map((name) => value(`--${name.replace("_", "-")}`));
    this.colourStreet = value("--map-street");
    this.colourLabel = value("--map-label");
    this.colourInk = value("--ink");
    this.colourGround = value("--map-ground");
    this.glowRgb = value("--map-glow").split(",").map(Number);
    this.glowStrength = Number(value("--map-glow-strength") || 1);
    this.sprites.clear();
    if (this._map) this.redrawAll();
  },

  redraw() {
    if (!this.pending) this.pending = requestAnimationFrame(() => this.draw());
  },

  redrawAll() {
    if (this.linesShown <= STREETS_WHILE_MOVING) this.streetsDue = true;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      this.streetsDue = true;
      this.redraw();
    }, STREETS_REST_MS);
    this.redraw();
  },

  animateZoom(event) {
    const corner = this._map._latLngBoundsToNewLayerBounds(this._map.getBounds(), event.zoom, event.center).min;
    L.DomUtil.setTransform(this.box, corner, this._map.getZoomScale(event.zoom));
  },

  place() {
    const size = this._map.getSize();
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    L.DomUtil.setPosition(this.box, this._map.containerPointToLayerPoint([0, 0]));
    if (this.width === size.x && this.height === size.y && this.ratio === ratio) return;
    [this.width, this.height, this.ratio] = [size.x, size.y, ratio];
    this.box.style.width = `${size.x}px`;
    this.box.style.height = `${size.y}px`;
    for (const canvas of [this.streets, this.marks]) {
      canvas.width = Math.max(1, Math.round(size.x * ratio));
      canvas.height = Math.max(1, Math.round(size.y * ratio));
    }
    this.glow.width = Math.ceil(size.x / GLOW_CELL) + 1;
    this.glow.height = Math.ceil(size.y / GLOW_CELL) + 1;
    this.glow.style.width = `${this.glow.width * GLOW_CELL}px`;
    this.glow.style.height = `${this.glow.height * GLOW_CELL}px`;
    this.image = null;
    this.glowImage = null;
    this.streetsDue = true;
  },

  // Where the unit square of the world lies on this screen: container pixel = world * scale - origin.
  view() {
    const zoom = this._map.getZoom();
    const corner = this._map.getPixelBounds().min;
    return { zoom, scale: 256 * 2 ** zoom, left: corner.x, top: corner.y };
  },

  draw() {
    this.pending = 0;
    if (!this._map) return;
    const began = performance.now();
    this.place();
    if (this.columns) {
      const view = this.view();
      const visible = this.visible(view);
      if (this.streetsDue || this.linesShown <= STREETS_WHILE_MOVING) this.drawStreets(view);
      else this.keepStreets(view);
      this.drawGlow(view, visible[LIT]);
      this.drawMarks(view, visible);
      this.drawLabels(view);
      this.streetsDue = false;
    }
    this.frameMs.push(performance.now() - began);
    if (this.frameMs.length > 240) this.frameMs.shift();
    this.fire("drawn");
  },

  // Indexes of the poles on screen, by status.
  visible({ scale, left, top }) {
    const { count, x, y, status, shown } = this.columns;
    const margin = 60;
    const [x0, x1] = [(left - margin) / scale, (left + this.width + margin) / scale];
    const [y0, y1] = [(top - margin) / scale, (top + this.height + margin) / scale];
    const found = new Uint32Array(STATUSES.length);
    for (let i = 0; i < count; i++) {
      if (shown[i] && x[i] > x0 && x[i] < x1 && y[i] > y0 && y[i] < y1) {
        this.onScreen[status[i]][found[status[i]]++] = i;
      }
    }
    return this.onScreen.map((indexes, k) => indexes.subarray(0, found[k]));
  },

  // While the hand drags a full city the street image only shifts along; it is redrawn at rest.
  keepStreets(view) {
    if (this.streetsAt === null) return;
    // A picture of another zoom would lie; better none until the map rests.
    this.streets.hidden = this.streetsAt.zoom !== view.zoom;
    const dx = this.streetsAt.left - view.left;
    const dy = this.streetsAt.top - view.top;
    L.DomUtil.setPosition(this.streets, L.point(dx, dy));
  },

  drawStreets(view) {
    const { scale, left, top, zoom } = view;
    const { x, y } = this.columns;
    const context = this.streets.getContext("2d");
    L.DomUtil.setPosition(this.streets, L.point(0, 0));
    this.streetsAt = { left, top, zoom };
    this.streets.hidden = false;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.strokeStyle = this.colourStreet;
    context.lineCap = "round";
    context.lineWidth = Math.max(0.8, Math.min(24, 1.9 * 2 ** ((zoom - 13) * 0.72)));
    const near = [];
    for (let k = 0; k < this.lines.length; k += 2) {
      const ax = x[this.lines[k]] * scale - left;
      const ay = y[this.lines[k]] * scale - top;
      if (ax > -200 && ay > -200 && ax < this.width + 200 && ay < this.height + 200) near.push(k);
    }
    this.linesShown = near.length;
    if (near.length <= STREETS_AT_ALL) {
      context.beginPath();
      for (const k of near) {
        const [i, j] = [this.lines[k], this.lines[k + 1]];
        context.moveTo(x[i] * scale - left, y[i] * scale - top);
        context.lineTo(x[j] * scale - left, y[j] * scale - top);
      }
      context.stroke();
    }
  },

  drawLabels({ scale, left, top, zoom }) {
    const context = this.marks.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    if (zoom < 15.5) {
      context.font = `600 ${zoom < 12 ? 11 : 12.5}px ${getComputedStyle(document.body).fontFamily}`;
      context.textAlign = "center";
      context.fillStyle = this.colourLabel;
      context.strokeStyle = this.colourGround;
      context.lineWidth = 3;
      context.lineJoin = "round";
      const taken = [];
      for (const label of this.labels) {
        if (zoom < label.fromZoom || zoom > label.toZoom) continue;
        const at = [label.x * scale - left, label.y * scale - top];
        const half = context.measureText(label.text).width / 2 + 6;
        if (taken.some(([x, y, w]) => Math.abs(x - at[0]) < w + half && Math.abs(y - at[1]) < 18)) continue;
        taken.push([...at, half]);
        context.strokeText(label.text, ...at);
        context.fillText(label.text, ...at);
      }
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
  },

  drawGlow({ scale, left, top, zoom }, lit) {
    const [width, height] = [this.glow.width, this.glow.height];
    if (this.light?.length !== width * height) {
      this.light = new Float32Array(width * height);
      this.lightBefore = new Float32Array(width * height);
    }
    const light = this.light.fill(0);
    const { x, y, level } = this.columns;
    const cell = GLOW_CELL;
    // A lamp lights a pool of about 18 m; from far away a little more, so that a city still shines.
    const mercatorM = 156543.03 / 2 ** zoom;
    // The fuller the screen, the smaller the pool may get: a city seen whole is fine dust, not a blot.
    const least = Math.max(1.2, Math.min(3.2, 3.2 - 1.1 * Math.log10(Math.max(1, lit.length) / 1000)));
    const radius = Math.max(least, Math.min(30, 30 / mercatorM / 0.7 / cell));
    const reach = Math.ceil(radius);
    const kernel = [];
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        const d = Math.hypot(dx, dy) / radius;
        if (d < 1) kernel.push([dy * width + dx, dx, dy, (1 - d * d) ** 2]);
      }
    }
    const gain = (0.26 + 0.5 * Math.min(1, radius / 14)) * this.glowStrength;
    const blurred = lit.length * kernel.length > KERNEL_WORK;
    if (blurred) {
      // Three box blurs are close to the kernel's bell; its weights add up to `whole`.
      const whole = kernel.reduce((sum, entry) => sum + entry[3], 0);
      for (const i of lit) {
        const cx = Math.floor((x[i] * scale - left) / cell);
        const cy = Math.floor((y[i] * scale - top) / cell);
        if (cx < 0 || cy < 0 || cx >= width || cy >= height) continue;
        light[cy * width + cx] += (gain * whole * Math.max(level[i], 4)) / 100;
      }
      const half = Math.max(1, Math.round(radius / 4));
      for (let pass = 0; pass < (radius < 2 ? 1 : 3); pass++) {
        blurRows(light, this.lightBefore, width, height, half);
        blurColumns(this.lightBefore, light, width, height, half);
      }
    }
    for (const i of blurred ? [] : lit) {
      const cx = Math.floor((x[i] * scale - left) / cell);
      const cy = Math.floor((y[i] * scale - top) / cell);
      const strength = (gain * Math.max(level[i], 4)) / 100;
      const inside = cx >= reach && cy >= reach && cx < width - reach && cy < height - reach;
      const at = cy * width + cx;
      for (const [offset, dx, dy, weight] of kernel) {
        if (inside || (cx + dx >= 0 && cx + dx < width && cy + dy >= 0 && cy + dy < height)) {
          light[at + offset] += strength * weight;
        }
      }
    }
    const context = this.glow.getContext("2d");
    this.glowImage ??= context.createImageData(width, height);
    const data = this.glowImage.data;
    const [red, green, blue] = this.glowRgb;
    const exposure = this.exposure(light);
    const colour = (blue << 16) | (green << 8) | red;
    const pixels = new Uint32Array(data.buffer);
    for (let p = 0; p < light.length; p++) {
      const amount = light[p] * exposure;
      pixels[p] = amount < 0.004 ? 0 : (ALPHA[Math.min(1023, (amount * 256) | 0)] << 24) | colour;
    }
    context.putImageData(this.glowImage, 0, 0);
  },

  // As a camera would: where most of what is lit would be glaring, the whole picture is taken darker.
  exposure(light) {
    const sample = [];
    for (let p = 0; p < light.length; p += 37) if (light[p] > 0.02) sample.push(light[p]);
    if (sample.length < 50) return 1;
    const bright = Float32Array.from(sample).sort()[Math.floor(sample.length * 0.85)];
    return bright > 0.9 ? 0.9 / bright : 1;
  },

  drawMarks({ scale, left, top, zoom }, visible) {
    const ratio = this.ratio;
    const context = this.marks.getContext("2d");
    const [width, height] = [this.marks.width, this.marks.height];
    this.image ??= context.createImageData(width, height);
    const pixels = new Uint32Array(this.image.data.buffer);
    pixels.fill(0);
    const { x, y } = this.columns;
    const many = visible.reduce((sum, indexes) => sum + indexes.length, 0);
    const dense = Math.min(1, Math.max(0.5, (8000 / Math.max(1, many)) ** 0.28));
    const base = markRadius(zoom) * dense;
    for (const status of ORDER) {
      const radius = NEEDS_A_LOOK.has(status) ? Math.max(3.4 * dense, base * 1.25) : base;
      const key = `${status}/${radius.toFixed(2)}/${ratio}`;
      if (!this.sprites.has(key)) this.sprites.set(key, sprite(status, radius, ratio, this.colours[status]));
      const { half, dx, dy, pixel } = this.sprites.get(key);
      const offset = Int32Array.from(dx, (right, p) => dy[p] * width + right);
      for (const i of visible[status]) {
        const cx = Math.round((x[i] * scale - left) * ratio);
        const cy = Math.round((y[i] * scale - top) * ratio);
        if (cx < half || cy < half || cx >= width - half || cy >= height - half) continue;
        const at = cy * width + cx;
        for (let p = 0; p < pixel.length; p++) {
          const place = at + offset[p];
          const under = pixels[place];
          if (under === 0 || pixel[p] >>> 24 === 255) pixels[place] = pixel[p];
          else if (under !== pixel[p]) pixels[place] = over(pixel[p], under);
        }
      }
    }
    context.putImageData(this.image, 0, 0);
    if (this.selected >= 0) {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.strokeStyle = this.colourInk;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x[this.selected] * scale - left, y[this.selected] * scale - top, Math.max(9, base * 1.25 + 6), 0, 7);
      context.stroke();
      context.setTransform(1, 0, 0, 1, 0, 0);
    }
  },

  // The pole under a point of the container, or -1.
  poleAt(point, reachPx = 14) {
    if (!this.columns) return -1;
    const { scale, left, top } = this.view();
    const { count, x, y, shown } = this.columns;
    let [best, found] = [reachPx * reachPx, -1];
    for (let i = 0; i < count; i++) {
      if (!shown[i]) continue;
      const d = (x[i] * scale - left - point.x) ** 2 + (y[i] * scale - top - point.y) ** 2;
      if (d < best) [best, found] = [d, i];
    }
    return found;
  },
});
