import path from 'node:path';
export default { apps: [{ name: 'api', script: path.posix.join('a', 'b.js') }] };
