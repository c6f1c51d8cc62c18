// Runs in each Node worker before the application, in the same file as faults.cjs. It measures the event loop, the
// heap, garbage collection and HTTP requests while procrun requests samples, and nothing before the first request.
// The application does not notice the script, it does not keep the process alive, and an error in it has no other
// effect.
(() => {
  'use strict';
  // A thread of the worker has no channel.
  if (typeof process.send !== 'function') return;
  const CMD = 'NODE_PROCRUN';
  // The interval of the timer that measures the delay of the event loop, in milliseconds.
  const RESOLUTION = 20;
  // The time from the begin of the measurement to the first sample: before that it has no values of the event loop.
  const FIRST_WINDOW = 100;
  // Rates and percentiles are those of a window of this length: at least, and until the next one begins.
  const MIN_WINDOW = 1000;
  const WINDOW = 5000;
  // The measurement ends this time after the last sample. Prometheus requests one each minute or more often.
  const KEPT = 150_000;
  // The upper bounds of the histogram of HTTP requests, in milliseconds. `sample.rs` has them in seconds.
  const BOUNDS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];
  // The responses in progress from which on those of clients that have gone are looked for.
  const MIN_CHECKED = 256;

  // An application may replace these later (test clocks, wrappers).
  const { send } = process;
  const { setTimeout } = globalThis;
  const quietly = (work) => {
    try {
      return work();
    } catch {
      return undefined;
    }
  };
  const notify = (act, more) => {
    if (process.connected) quietly(() => send.call(process, { cmd: CMD, act, ...more }, () => {}));
  };

  // HTTP requests, by the channels of Node that need no change of the application.
  const countRequests = (now) => {
    const { channel } = require('diagnostics_channel');
    const counts = new Array(BOUNDS.length + 1).fill(0);
    const classes = new Array(5).fill(0);
    const state = { started: 0, sum: 0, counts, classes };
    // The responses in progress, each with the time of its request. A client that has gone leaves one behind.
    const open = new Map();
    let checkAt = MIN_CHECKED;
    const dropClosed = () => {
      for (const response of open.keys()) {
        if (response.destroyed || response.writableFinished || !response.req.socket || response.req.socket.destroyed) {
          open.delete(response);
        }
      }
      checkAt = Math.max(MIN_CHECKED, 2 * open.size);
    };
    const begins = ({ response }) => {
      state.started += 1;
      open.set(response, now());
      if (open.size > checkAt) dropClosed();
    };
    const ends = ({ response }) => {
      const begun = open.get(response);
      if (begun === undefined) return;
      open.delete(response);
      const time = now() - begun;
      state.sum += time;
      let at = 0;
      while (time > BOUNDS[at]) at += 1;
      counts[at] += 1;
      const group = (response.statusCode / 100) | 0;
      if (group >= 1 && group <= 5) classes[group - 1] += 1;
    };
    // A channel without a reference would lose its subscribers.
    const channels = [channel('http.server.request.start'), channel('http.server.response.finish')];
    channels[0].subscribe(begins);
    channels[1].subscribe(ends);
    state.end = () => {
      channels[0].unsubscribe(begins);
      channels[1].unsubscribe(ends);
    };
    state.active = () => {
      dropClosed();
      return open.size;
    };
    return state;
  };

  // The time below which 95 of 100 requests were answered, from the counts of a histogram.
  const percentile95 = (counts) => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    let rest = total * 0.95;
    for (const [at, count] of counts.entries()) {
      if (count > 0 && rest <= count) {
        const from = at === 0 ? 0 : BOUNDS[at - 1];
        return from + ((BOUNDS[at] ?? from) - from) * (rest / count);
      }
      rest -= count;
    }
    return undefined;
  };

  // The function that sends a sample, once something has been measured.
  let sample;
  // Whether requests are counted without a request for a sample, too.
  let isKept = false;

  const createSampler = () => {
    const { performance, monitorEventLoopDelay, PerformanceObserver } = require('perf_hooks');
    const { getHeapStatistics } = require('v8');
    const { eventLoopUtilization } = performance;
    const now = performance.now.bind(performance);

    const http = quietly(() => countRequests(now));
    const collections = { 1: [0, 0], 4: [0, 0], 8: [0, 0], 16: [0, 0] };
    const observer = new PerformanceObserver((list) => {
      for (const { duration, detail } of list.getEntries()) {
        const total = collections[detail && detail.kind];
        if (!total) continue;
        total[0] += 1;
        total[1] += duration;
      }
    });
    observer.observe({ entryTypes: ['gc'] });

    let delay;
    let timer;
    // The begin of the window, and the last values of one.
    let begin;
    let last;

    const snapshot = () => ({
      at: now(),
      loop: eventLoopUtilization(),
      sum: http ? http.sum : 0,
      counts: http ? [...http.counts] : [],
    });

    const measure = () => {
      const end = snapshot();
      const span = end.at - begin.at;
      if (last && span < MIN_WINDOW) return;
      const { utilization } = eventLoopUtilization(end.loop, begin.loop);
      // The timer counts its own interval as a part of the delay.
      const milliseconds = (nanoseconds) => Math.max(nanoseconds / 1e6 - RESOLUTION, 0);
      const hasDelay = delay.max > 0;
      const counts = end.counts.map((count, at) => count - begin.counts[at]);
      const finished = counts.reduce((sum, count) => sum + count, 0);
      last = {
        utilization,
        delay: hasDelay ? {
          mean: milliseconds(delay.mean) / 1000,
          p50: milliseconds(delay.percentile(50)) / 1000,
          p95: milliseconds(delay.percentile(95)) / 1000,
          p99: milliseconds(delay.percentile(99)) / 1000,
          max: milliseconds(delay.max) / 1000,
        } : undefined,
        rate: finished / (span / 1000),
        mean: finished > 0 ? (end.sum - begin.sum) / finished / 1000 : undefined,
        p95: finished > 0 ? percentile95(counts) / 1000 : undefined,
      };
      if (span < WINDOW) return;
      begin = end;
      delay.reset();
    };

    const stop = () => {
      delay.disable();
      delay = undefined;
      timer = undefined;
      last = undefined;
      if (isKept) return;
      observer.disconnect();
      if (http) http.end();
      sample = undefined;
    };

    const collected = (kind) => ({ count: collections[kind][0], seconds: collections[kind][1] / 1000 });

    const answer = () => {
      if (!delay) return;
      measure();
      const heap = getHeapStatistics();
      const { active, idle } = eventLoopUtilization();
      const values = {
        heap: {
          used: heap.used_heap_size,
          total: heap.total_heap_size,
          limit: heap.heap_size_limit,
          external: heap.external_memory,
        },
        event_loop: {
          active: active / 1000,
          idle: idle / 1000,
          utilization: last.utilization,
          delay: last.delay,
        },
        gc: {
          minor: collected(1),
          major: collected(4),
          incremental: collected(8),
          weak_callbacks: collected(16),
        },
        // PM2 counts these, too.
        active_handles: quietly(() => process._getActiveHandles().length),
        active_requests: quietly(() => process._getActiveRequests().length),
      };
      if (http) {
        values.http = {
          started: http.started,
          active: http.active(),
          seconds: http.sum / 1000,
          counts: http.counts,
          classes: http.classes,
          rate: last.rate,
          mean: last.mean,
          p95: last.p95,
        };
      }
      notify('sample', { sample: values });
    };

    return () => {
      if (timer) {
        timer.refresh();
        return answer();
      }
      timer = setTimeout(() => quietly(stop), KEPT).unref();
      delay = monitorEventLoopDelay({ resolution: RESOLUTION });
      delay.enable();
      begin = snapshot();
      setTimeout(() => quietly(answer), FIRST_WINDOW).unref();
    };
  };

  quietly(() => {
    process.on('internalMessage', (message) => {
      if (!message || message.cmd !== CMD) return;
      if (message.act === 'measure') {
        isKept = true;
        quietly(() => (sample ??= createSampler()));
      }
      if (message.act === 'sample') quietly(() => (sample ??= createSampler())());
    });
  });
})();
