export default { apps: [{ script: __dirname + '/a.js' }] };
