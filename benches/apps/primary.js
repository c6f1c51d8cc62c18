// Node's own cluster, as its manual has it: the primary of two workers.
'use strict';
const cluster = require('cluster');
cluster.setupPrimary({ exec: process.argv[2] });
for (let i = 0; i < Number(process.argv[3]); i++) cluster.fork();
