// Bun's own server, in TypeScript. Each instance opens the port for itself.
const port: number = Number(process.env.PORT);
Bun.serve({ port, reusePort: true, fetch: () => new Response(`${process.pid}`) });
console.log('up', process.env.NODE_APP_INSTANCE);
process.send?.('ready');
