// Four sessions with five requests each: says how many workers answered, and whether each session
// stayed with one.
import http2 from 'node:http2';
import { once } from 'node:events';

const ask = async (session) => {
  const stream = session.request({ ':path': '/' });
  stream.setEncoding('utf8');
  let body = '';
  stream.on('data', (text) => (body += text));
  await once(stream, 'end');
  return body;
};
const seen = [];
for (let i = 0; i < 4; i++) {
  const session = http2.connect(`http://127.0.0.1:${process.argv[2]}`);
  seen.push(new Set(await Promise.all([1, 2, 3, 4, 5].map(() => ask(session)))));
  session.close();
}
const workers = new Set(seen.flatMap((pids) => [...pids]));
console.log('workers', workers.size, 'in one session', Math.max(...seen.map((pids) => pids.size)));
