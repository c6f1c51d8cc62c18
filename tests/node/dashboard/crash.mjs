import { close, go, open, shown } from './helpers.mjs';

const page = await open();
await go(page, '#/app/worker');
await shown(page, '.timeline .event', 'worker (3) is online');
console.log('ready for the crash');
await shown(page, '.timeline .event', 'exited: signal SIGKILL');
await shown(page, '.instances .cell.note', 'SIGKILL');
await go(page, '#/events');
await shown(page, '.event', 'worker (3) exited: signal SIGKILL');
await close(page);
