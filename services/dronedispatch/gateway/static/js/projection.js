// WGS84 to metres about the city's middle (equirectangular, below 0.1 % of error over a city), and metres to pixels.

const METRES_A_DEGREE = (Math.PI / 180) * 6371008.8;

// The same longitude within 180 degrees of `middle`: a city may lie across the antimeridian.
function near(lon, middle) {
  return lon - 360 * Math.round((lon - middle) / 360);
}

export class Projection {
  constructor() {
    this.lat0 = 41.89;
    this.lon0 = 12.485;
    this.x = 0; // metres in the middle of the screen
    this.y = 0;
    this.scale = 0.05; // pixels a metre
    this.width = 1;
    this.height = 1;
    this.box = null;
    this.touched = false; // once moved by hand, a resize keeps the place
  }

  setCity(positions) {
    const range = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
    const [south, north] = range(positions.map((p) => p[1]));
    const [west, east] = range(positions.map((p) => near(p[0], positions[0][0])));
    this.lat0 = (south + north) / 2;
    this.lon0 = near((west + east) / 2, 0);
    this.box = { a: this.metres(south, west), b: this.metres(north, east) };
    if (!this.touched) this.fit();
  }

  metres(lat, lon) {
    return { x: (near(lon, this.lon0) - this.lon0) * METRES_A_DEGREE * Math.cos((this.lat0 * Math.PI) / 180), y: (lat - this.lat0) * METRES_A_DEGREE };
  }

  degrees(x, y) {
    return { lat: this.lat0 + y / METRES_A_DEGREE, lon: near(this.lon0 + x / (METRES_A_DEGREE * Math.cos((this.lat0 * Math.PI) / 180)), 0) };
  }

  px(x) { return this.width / 2 + (x - this.x) * this.scale; }
  py(y) { return this.height / 2 - (y - this.y) * this.scale; }

  at(px, py) {
    return { x: this.x + (px - this.width / 2) / this.scale, y: this.y - (py - this.height / 2) / this.scale };
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    if (!this.touched) this.fit();
  }

  fit() {
    if (!this.box) return;
    const margin = this.width < 500 ? 14 : 26;
    this.x = (this.box.a.x + this.box.b.x) / 2;
    this.y = (this.box.a.y + this.box.b.y) / 2;
    const across = (this.width - 2 * margin) / (this.box.b.x - this.box.a.x);
    const bars = 2 * (this.width < 500 ? 58 : 46); // the switches above, the legend below
    const along = (this.height - bars) / (this.box.b.y - this.box.a.y);
    this.scale = Math.max(0.001, Math.min(across, along));
    this.touched = false;
  }

  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const before = this.at(px, py);
    this.scale = Math.max(0.004, Math.min(4, this.scale * factor));
    const after = this.at(px, py);
    this.x += before.x - after.x;
    this.y += before.y - after.y;
    this.touched = true;
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
    this.touched = true;
  }
}

// a Polygon or MultiPolygon as a list of polygons, each a list of rings
export function polygons(geometry) {
  return geometry.type === "MultiPolygon" ? geometry.coordinates : [geometry.coordinates];
}
