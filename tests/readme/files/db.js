console.log('serving', process.argv.slice(2).join(' '));
process.send('ready');
setInterval(() => {}, 1000);
