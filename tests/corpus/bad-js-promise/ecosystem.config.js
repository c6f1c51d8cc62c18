module.exports = Promise.resolve({ apps: [] });
