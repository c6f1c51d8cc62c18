const path = require('path');
export default { apps: [{ script: path.join('a', 'b.js') }] };
