// Express in CommonJS, with the guard that many entry files have.
const express = require('express');

const app = express();
app.get('/', (request, response) => response.send(`${process.pid}`));

if (require.main === module) {
  const server = app.listen(0, () => {
    console.log(`listening on ${server.address().port} as ${process.pid}`);
  });
}
