// CPU and memory of the last hour, in bounded memory: what the server has kept, and a point each 5 s.

const POINTS = 720;
// Of more instances only the last minutes are kept.
const MANY = 100;
const FEW_POINTS = 60;

// A ring of points, the oldest first.
export class Series {
  #times;
  #cpu;
  #memory;
  #start = 0;
  #length = 0;

  constructor(capacity) {
    this.#times = new Float64Array(capacity);
    this.#cpu = new Float32Array(capacity);
    this.#memory = new Float64Array(capacity);
  }

  get length() {
    return this.#length;
  }

  // `null` is a gap: the instance does not run, or the figure is not known.
  add(time, cpu, memory) {
    const capacity = this.#times.length;
    const at = (this.#start + this.#length) % capacity;
    this.#times[at] = time;
    this.#cpu[at] = cpu ?? NaN;
    this.#memory[at] = memory ?? NaN;
    if (this.#length < capacity) this.#length += 1;
    else this.#start = (this.#start + 1) % capacity;
  }

  #list(from, last) {
    const count = Math.min(last ?? this.#length, this.#length);
    const capacity = from.length;
    return Array.from({ length: count }, (_, at) => {
      const value = from[(this.#start + this.#length - count + at) % capacity];
      return Number.isNaN(value) ? null : value;
    });
  }

  times(last) {
    return this.#list(this.#times, last);
  }

  cpu(last) {
    return this.#list(this.#cpu, last);
  }

  memory(last) {
    return this.#list(this.#memory, last);
  }
}

export class History {
  #apps = new Map();
  #instances = new Map();

  app(name) {
    return this.#apps.get(name) ?? null;
  }

  instance(id) {
    return this.#instances.get(id) ?? null;
  }

  // Begins with the points of the server.
  load({ times, apps, instances }) {
    this.#apps.clear();
    this.#instances.clear();
    const fill = (map, key, { cpu, memory }) => {
      const series = new Series(POINTS);
      const first = times.length - cpu.length;
      cpu.forEach((value, at) => series.add(times[first + at] / 1000, value, memory[at]));
      map.set(key, series);
    };
    for (const [name, series] of Object.entries(apps)) fill(this.#apps, name, series);
    for (const [id, series] of Object.entries(instances)) fill(this.#instances, Number(id), series);
  }

  add(time, apps, instances) {
    const capacity = instances.length > MANY ? FEW_POINTS : POINTS;
    this.#addTo(this.#apps, apps.length > MANY ? FEW_POINTS : POINTS, time, apps, (app) => app.name);
    this.#addTo(this.#instances, capacity, time, instances, (instance) => instance.id);
  }

  #addTo(map, capacity, time, rows, keyOf) {
    const present = new Set();
    for (const row of rows) {
      const key = keyOf(row);
      present.add(key);
      if (!map.has(key)) map.set(key, new Series(capacity));
      map.get(key).add(time, row.cpu, row.memory);
    }
    for (const key of map.keys()) {
      if (!present.has(key)) map.delete(key);
    }
  }
}
