require('no-such-module-at-all');
