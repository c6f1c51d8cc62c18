// Figures of Node's runtime, which only some apps and instances have.

export function hasFigures(row) {
  return row.node !== null && row.node !== undefined;
}

// Requests per second.
export function rate(row) {
  return row.node?.requests_per_second ?? null;
}

// The 95th percentile of the latency of requests, in milliseconds.
export function latency(row) {
  return row.node?.latency_p95 ?? null;
}
