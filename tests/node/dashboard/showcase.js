// Stands for an application in screenshots: uses some CPU and memory, and logs as applications do.
const http = require('node:http');

const [name, load, megabytes] = process.argv.slice(2);
const paths = ['/products', '/products/42', '/cart', '/checkout', '/search?q=lamp', '/account'];
const jobs = ['resize image', 'send receipt', 'index product', 'expire session'];
const kept = Buffer.alloc(Number(megabytes) * 1e6, 1);
let step = Math.floor(Math.random() * 60);

if (name === 'api') {
  const server = http.createServer((_, response) => setTimeout(() => response.end('ok'), 3 + 30 * Math.random() ** 3));
  server.listen(0, () => setInterval(() => http.get({ port: server.address().port }, (answer) => answer.resume()).on('error', () => {}), 60));
}

function work() {
  step += 1;
  const share = Number(load) * (1 + 0.5 * Math.sin(step / 8) + 0.4 * Math.random());
  const until = performance.now() + 5 * share;
  while (performance.now() < until);
  kept[step % kept.length] = step;
  setTimeout(work, 500);
}

function log() {
  const pick = (list) => list[Math.floor(Math.random() * list.length)];
  if (name === 'api') {
    const time = Math.round(4 + Math.random() * 40);
    if (Math.random() < 0.06) console.log(`\x1b[33mWARN\x1b[0m slow query: ${time * 20} ms`);
    console.log(`\x1b[32mGET\x1b[0m ${pick(paths)} \x1b[2m200\x1b[0m ${time} ms`);
  } else {
    console.log(JSON.stringify({ level: Math.random() < 0.05 ? 50 : 30, msg: pick(jobs), job: Math.floor(Math.random() * 1e5) }));
  }
  setTimeout(log, 300 + Math.random() * 1500);
}

work();
log();
