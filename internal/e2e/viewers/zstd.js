// The decoder of Zstandard that the PlayCanvas engine asks for, made of three.js's.
window.ZstdDecoderModule = async () => {
	const { ZSTDDecoder } = await import('/modules/three/examples/jsm/libs/zstddec.module.js');
	const decoder = new ZSTDDecoder();
	await decoder.init();
	return { decompress: (bytes, size) => decoder.decode(bytes, size) };
};
