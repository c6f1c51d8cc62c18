// Nothing here is for a browser: the build may be small and quick.
module.exports = { swcMinify: false, compress: false, generateEtags: false };
