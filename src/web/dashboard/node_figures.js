// Figures of Node's runtime, which only some apps and instances have. Times of the API are in seconds.

const milliseconds = (seconds) => (Number.isFinite(seconds) ? seconds * 1000 : null);
const known = (values) => values.filter((value) => value !== null && value !== undefined);
const sum = (values) => (values.length === 0 ? null : values.reduce((total, value) => total + value, 0));
const greatest = (values) => (values.length === 0 ? null : Math.max(...values));

// Those of an instance, or `null`.
export function nodeFigures({ node }) {
  if (!node) return null;
  return {
    rate: node.http?.rate ?? null,
    latency: milliseconds(node.http?.p95),
    delay: milliseconds(node.event_loop?.delay?.p95),
    utilization: node.event_loop?.utilization ?? null,
    heap: node.heap?.used ?? null,
  };
}

// Those of an app: the requests of all instances, and the worst of the times.
export function nodeFiguresOf(instances) {
  const figures = known(instances.map(nodeFigures));
  if (figures.length === 0) return null;
  const all = (name) => known(figures.map((figure) => figure[name]));
  return {
    rate: sum(all('rate')),
    latency: greatest(all('latency')),
    delay: greatest(all('delay')),
    utilization: greatest(all('utilization')),
    heap: sum(all('heap')),
  };
}
