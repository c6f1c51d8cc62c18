const app = { script: 'a.js' };
app.self = app;
module.exports = { apps: [app] };
