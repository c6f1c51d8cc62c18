console.log('serving', process.argv.slice(2).join(' '));
setInterval(() => {}, 1000);
