const fs = require('fs');
for (let i = 0; i < 100; i++) fs.writeSync(1, 'x'.repeat(100000));
for (;;);
