// A worker with a bug: about every ten seconds a job fails and ends the process (exit code 1).
let job = 0;
const fatal = 4 + Math.floor(Math.random() * 3);

setInterval(() => {
  job += 1;
  if (job === fatal) {
    throw new Error(`job ${job} failed`);
  }
  console.log(`job ${job} done`);
}, 2000);
