// Says what it was given, listens, is ready, and ends when it is asked to by a message.
const http = require("http");
const { MODE, SHARD, NUMBER, OPTIONS, PORT, SECRET_KEY, NODE_APP_INSTANCE } = process.env;
const given = {
  argv: process.argv.slice(2),
  execArgv: process.execArgv,
  cwd: process.cwd(),
  env: { MODE, SHARD, NUMBER, OPTIONS, SECRET_KEY, NODE_APP_INSTANCE },
};
process.on("message", (message) => {
  if (message === "shutdown") {
    console.log("asked to shut down by a message");
    process.exit(0);
  }
});
const server = http.createServer((request, response) => response.end(`shard ${SHARD}`));
server.listen(PORT, () => {
  console.error("to stderr");
  console.log(`given ${JSON.stringify(given)}`);
  process.send("ready");
});
