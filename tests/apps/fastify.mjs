// Fastify as an ES module. Without a host it listens on every address of `localhost`, on one port.
import Fastify from 'fastify';

const app = Fastify();
app.get('/', async () => `${process.pid}`);
await app.listen({ port: 0 });
console.log(`listening on ${app.server.address().port} as ${process.pid}`);
