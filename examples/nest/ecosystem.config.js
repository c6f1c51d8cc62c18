// The application under PM2, as its users write it. `procrun ecosystem.config.js` runs it unchanged.
module.exports = {
  apps: [
    {
      name: 'api',
      script: 'dist/main.js',
      kill_timeout: 8000,
      env: {
        NODE_ENV: 'production',
        PORT: process.env.PORT || 3000,
      },
    },
  ],
};
